import * as ws from 'ws';
import type { WebSocket } from 'ws';

/*
 * This file holds everything undocumented that Millrace uses of `ws`. package.json pins `ws` to one version, and
 * test/websocket/ws-internals.test.ts says which of these parts an update has moved.
 */

/** How `ws` inflates one message: `callback` gets the whole message, or the error that closes the connection. */
export type Decompress = (
  data: Buffer,
  fin: boolean,
  callback: (error: Error | null, result?: Buffer) => void,
) => void;

/** The permessage-deflate of one open socket. */
export interface Deflate {
  /** The parameters agreed in the handshake; the sender reads them before each message. */
  readonly params: { client_no_context_takeover?: boolean };
  /** The receiver calls it, as a method, for each compressed frame. */
  decompress: Decompress;
}

/** The name of the extension in the handshake (RFC 7692 section 7). */
export const DEFLATE = 'permessage-deflate';

/** The values of a `Sec-WebSocket-Extensions` header: for each extension its offers, for each offer its parameters. */
export type Offers = Record<string, Record<string, (string | true)[]>[]>;

/** Reads and writes `Sec-WebSocket-Extensions`. `ws` exports it; its types lack it. `parse` throws a SyntaxError. */
export const { extension: extensions } = ws as unknown as {
  readonly extension: { parse(header: string): Offers; format(offers: Offers): string };
};

/**
 * The permessage-deflate of a socket that has just opened, or undefined if it does not compress.
 * @throws Error if this version of `ws` keeps it elsewhere: without it, nothing bounds the inflated data
 */
export function deflateOf(socket: WebSocket): Deflate | undefined {
  // The one documented part here: the names of the agreed extensions.
  if (!socket.extensions.split(',').includes(DEFLATE)) return undefined;
  const kept = (socket as WebSocket & { readonly _extensions?: Record<string, Partial<Deflate>> })
    ._extensions;
  const { params, decompress } = kept?.[DEFLATE] ?? {};
  if (typeof params !== 'object' || typeof decompress !== 'function') {
    throw new Error(
      `this version of ws does not keep ${DEFLATE} in socket._extensions; install the version that package.json pins`,
    );
  }
  return kept![DEFLATE] as Deflate;
}
