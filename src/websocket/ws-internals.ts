import * as ws from 'ws';
import type { WebSocket } from 'ws';

/*
 * Everything that Millrace uses of `ws` and that `ws` does not document is in this file. `ws` is pinned to one version in
 * package.json, and test/websocket/ws-internals.test.ts says which of these an update has moved.
 */

/** How `ws` inflates one message: `callback` gets the whole message, or the error that closes the connection. */
export type Decompress = (
  data: Buffer,
  fin: boolean,
  callback: (error: Error | null, result?: Buffer) => void,
) => void;

/** The permessage-deflate of one open socket. */
export interface Deflate {
  /** What was agreed in the handshake; the sender looks at it before each message. */
  readonly params: { client_no_context_takeover?: boolean };
  /** The receiver calls it, as a method, for each compressed frame. */
  decompress: Decompress;
}

/** The name of the extension in the handshake (RFC 7692 section 7). */
export const DEFLATE = 'permessage-deflate';

/** The values of a `Sec-WebSocket-Extensions` header: for each extension its offers, for each offer its parameters. */
export type Offers = Record<string, Record<string, (string | true)[]>[]>;

/** Reads and writes `Sec-WebSocket-Extensions`. `ws` exports it, and its types lack it. `parse` throws a SyntaxError. */
export const { extension: extensions } = ws as unknown as {
  readonly extension: { parse(header: string): Offers; format(offers: Offers): string };
};

/**
 * The permessage-deflate of a socket that has just opened, or undefined where it does not compress.
 * @throws Error when this version of `ws` keeps it elsewhere: without it nothing bounds what is inflated
 */
export function deflateOf(socket: WebSocket): Deflate | undefined {
  // The one thing here that `ws` documents: the names of what was agreed.
  if (!socket.extensions.split(',').includes(DEFLATE)) return undefined;
  const kept = (socket as WebSocket & { readonly _extensions?: Record<string, Partial<Deflate>> })
    ._extensions;
  const { params, decompress } = kept?.[DEFLATE] ?? {};
  if (typeof params !== 'object' || typeof decompress !== 'function') {
    throw new Error(
      `this version of ws keeps ${DEFLATE} elsewhere than in socket._extensions; install the version that package.json pins`,
    );
  }
  return kept![DEFLATE] as Deflate;
}
