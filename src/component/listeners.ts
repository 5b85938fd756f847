import { declareErrors } from '../errors.ts';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** Codes of HTTP servers. */
export const listenErrors = declareErrors({
  MILLRACE_LISTEN_FAILED: {
    help: 'The address cannot be listened on: it is in use, not of this machine, or not permitted. Free it or choose another. One that is in use is tried again until it is free.',
  },
  MILLRACE_LISTEN_CONFLICT: {
    help: 'Two components want the same path of one listener, or the same port with different TLS settings. Give each its own path.',
  },
});

/** Certificate and key in PEM, for a listener that speaks TLS. */
export interface ListenerTls {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
  /** Where set, clients must show a certificate that one of these authorities signed. */
  readonly ca?: string | Uint8Array;
}

/** The values of a path's `:parameters`, decoded. */
export type PathParameters = Readonly<Record<string, string>>;

/** Called with the socket of a request to upgrade; who is called owns the socket from then on. */
export type UpgradeHandler = (
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  parameters: PathParameters,
) => void;

/** A request that a listener answered itself, or a connection that it dropped before there was one. */
export interface Refusal {
  readonly status: number;
  /** A part of a sentence, for the log. */
  readonly reason: string;
  readonly remote_address: string | undefined;
  /** Undefined where it did not get that far. */
  readonly request: IncomingMessage | undefined;
}

/** What all that share a port must agree on. */
export interface HandshakeLimits {
  /** How long a handshake may take, in milliseconds. */
  readonly timeout: number;
  /** Of its headers together, in bytes. */
  readonly headerSize: number;
}

export interface Endpoint {
  /** The port that is listened on; of use when it was 0. */
  readonly port: number;
  /** Frees the path, and the port with its last path. Open sockets stay open. */
  close(): Promise<void>;
}

export interface UpgradeEndpoint extends Endpoint {
  /**
   * Uses other certificates for handshakes from now on; open connections stay as they are.
   * @returns false when they are those that it uses already
   * @throws MillraceError MILLRACE_TLS_INVALID, and then nothing has changed
   */
  renewTls(tls: ListenerTls): boolean;
}

/** The process's HTTP servers, one for each host and port, shared by all who want a path there. */
export interface Listeners {
  /**
   * Says that a path will be wanted, so that a conflict is found before anything starts. Port 0 is never in conflict.
   * @throws MillraceError MILLRACE_LISTEN_CONFLICT
   */
  reserve(options: { host: string; port: number; path: string }): void;
  /**
   * Takes WebSocket upgrades of one path: the exact pathname of the request, but for its segments `:name`, which take
   * any value. `connections` is how many its owner takes at most: about so many may be at their handshake at once.
   * `refused` is told of what was refused before it got to `handler`, where it was on the path or the listener has no
   * other.
   * @throws MillraceError MILLRACE_LISTEN_FAILED, MILLRACE_LISTEN_CONFLICT; fatal, unless another program has the address
   */
  upgrade(options: {
    host: string;
    port: number;
    path: string;
    tls?: ListenerTls | undefined;
    handshake?: HandshakeLimits | undefined;
    connections?: number | undefined;
    refused?: ((refusal: Refusal) => void) | undefined;
    handler: UpgradeHandler;
  }): Promise<UpgradeEndpoint>;
  /**
   * Takes plain HTTP requests of the paths given. On a port where nobody takes upgrades they are to be short: of more than
   * 64 connections (fewer where the process may open few files) the oldest is cut.
   */
  http(options: {
    host: string;
    port: number;
    paths: readonly string[];
    handler: (request: IncomingMessage, response: ServerResponse) => void;
  }): Promise<Endpoint>;
}
