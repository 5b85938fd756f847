import { declareErrors } from '../errors.ts';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** Codes of HTTP servers. */
export const listenErrors = declareErrors({
  MILLRACE_LISTEN_FAILED: {
    help: 'Millrace cannot listen on the address: it is in use, does not belong to this machine, or is not permitted. Free it or choose another. Millrace retries an address in use until it is free.',
  },
  MILLRACE_LISTEN_CONFLICT: {
    help: 'Two components want the same path on one listener, or the same port with different TLS settings. Give each its own path.',
  },
});

/** Certificate and key in PEM, for a listener that speaks TLS. */
export interface ListenerTls {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
  /** If set, clients must show a certificate that one of these authorities signed. */
  readonly ca?: string | Uint8Array;
}

/** The values of a path's `:parameters`, decoded. */
export type PathParameters = Readonly<Record<string, string>>;

/** Called with the socket of a request to upgrade; the handler owns the socket from then on. */
export type UpgradeHandler = (
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  parameters: PathParameters,
) => void;

/** A request that a listener answered itself, or a connection that it dropped before one came. */
export interface Refusal {
  readonly status: number;
  /** A part of a sentence, for the log. */
  readonly reason: string;
  readonly remote_address: string | undefined;
  /** Undefined if no request came. */
  readonly request: IncomingMessage | undefined;
}

/** Limits that all parts sharing a port must agree on. */
export interface HandshakeLimits {
  /** How long a handshake may take, in milliseconds. */
  readonly timeout: number;
  /** The largest size of all headers together, in bytes. */
  readonly headerSize: number;
}

export interface Endpoint {
  /** The port that the listener has; useful when it was 0. */
  readonly port: number;
  /** Frees the path, and the port with its last path. Open sockets stay open. */
  close(): Promise<void>;
}

export interface UpgradeEndpoint extends Endpoint {
  /**
   * Uses other certificates for handshakes from now on; open connections stay as they are.
   * @returns false when the certificates are the same as before
   * @throws MillraceError MILLRACE_TLS_INVALID, and then nothing has changed
   */
  renewTls(tls: ListenerTls): boolean;
}

/** The process's HTTP servers, one for each host and port, shared by all components that want a path there. */
export interface Listeners {
  /**
   * Announces a path, so that a conflict is found before anything starts. Port 0 never conflicts.
   * @throws MillraceError MILLRACE_LISTEN_CONFLICT
   */
  reserve(options: { host: string; port: number; path: string }): void;
  /**
   * Takes WebSocket upgrades of one path: the exact pathname of the request, except for its segments `:name`, which
   * take any value. `connections` is the most that its owner takes: about as many may be at their handshake at once.
   * `refused` hears of requests that were refused before they reached `handler`, if they were for the path or the
   * listener has no other.
   * @throws MillraceError MILLRACE_LISTEN_FAILED, MILLRACE_LISTEN_CONFLICT; fatal, unless another program has the
   * address
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
   * Takes plain HTTP requests of the given paths. On a port without upgrades, requests must be short: with more than
   * 64 connections (fewer if the process may open few files) the oldest is cut.
   */
  http(options: {
    host: string;
    port: number;
    paths: readonly string[];
    handler: (request: IncomingMessage, response: ServerResponse) => void;
  }): Promise<Endpoint>;
}
