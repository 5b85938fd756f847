import type { WebSocket } from 'ws';
import { z } from 'zod';
import { size } from '../component/fields.ts';
import { DEFLATE, deflateOf, extensions } from './ws-internals.ts';

const how = z.strictObject({
  threshold: size().default(1024).describe('Shorter messages are sent as they are.'),
  context_takeover: z
    .boolean()
    .default(false)
    .describe(
      'Whether each message is compressed with what is known from those before it, which makes them smaller. The other side may want it otherwise, and then it is not.',
    ),
});

const defaults = how.parse({});

export const compression = z
  .union([z.boolean(), how])
  .describe(
    'permessage-deflate (RFC 7692): `true`, or how. A client offers it, a server accepts it. A connection that uses it takes about 250 KiB more memory.',
  );

export type CompressionConfig = z.output<typeof compression>;

/** A frame that is not whole is kept as it was read; this many reads, and one more for each so many bytes of a message. */
const READS = 16_384;
const BYTES_A_READ = 512;

/**
 * Of every `ws` socket and server here; the types of `ws` don't know all of them yet. `maxMessageSize` in bytes is also
 * the bound of what a message inflates to, `closeTimeout` is in milliseconds. Pings are for `answerPings`.
 */
export function socketOptions(closeTimeout: number, config: CompressionConfig, maxMessageSize: number) {
  return {
    perMessageDeflate: perMessageDeflate(config),
    closeTimeout,
    maxPayload: maxMessageSize,
    // Each read costs some 300 bytes besides what it brings: a peer that sends byte by byte would have 80 MiB of `ws`.
    maxBufferedChunks: READS + Math.ceil(maxMessageSize / BYTES_A_READ),
    autoPong: false,
  };
}

function perMessageDeflate(config: CompressionConfig) {
  if (config === false) return false;
  const { threshold, context_takeover: takeover } = howOf(config);
  // For `ws`, false means that the other side may not ask for it either; RFC 7692 section 7.1.1 lets it.
  return { threshold, ...(!takeover && { serverNoContextTakeover: true, clientNoContextTakeover: true }) };
}

type Send = (data: Uint8Array | string, options: object, written?: (error?: Error | null) => void) => void;

/**
 * Has a socket that has just opened, and compresses, keep to what `ws` does by half: without the other side's consent a
 * client may do without context all the same (RFC 7692 section 7.1.1.2), and with context there may be a threshold too.
 */
export function compressAsConfigured(socket: WebSocket, config: CompressionConfig, client: boolean): void {
  const deflate = deflateOf(socket);
  if (config === false || deflate === undefined) return;
  const { threshold, context_takeover: takeover } = howOf(config);
  if (!takeover) {
    if (client) deflate.params.client_no_context_takeover = true;
    return;
  }
  const send = socket.send.bind(socket) as Send;
  const sendAsConfigured: Send = (data, options, written) => {
    send(data, { ...options, compress: Buffer.byteLength(data) >= threshold }, written);
  };
  socket.send = sendAsConfigured as WebSocket['send'];
}

/** What a client may ask of permessage-deflate (RFC 7692 section 7.1). */
const PARAMETERS: Readonly<Record<string, RegExp | true>> = {
  server_no_context_takeover: true,
  client_no_context_takeover: true,
  // zlib deflates with 9 bits at least, and a client that has room for 8 could not read that.
  server_max_window_bits: /^(?:9|1[0-5])$/,
  client_max_window_bits: /^(?:[89]|1[0-5])$/,
};

/**
 * The offers in a `Sec-WebSocket-Extensions` that may be accepted, or undefined when there is none. One that asks for what
 * there is not is declined, and the connection goes on without compression (RFC 7692 section 7); `ws` would refuse it.
 * @throws SyntaxError when it is no such header
 */
export function acceptableOffers(header: string): string | undefined {
  const { [DEFLATE]: offers = [] } = extensions.parse(header);
  const known = offers.filter((offer) =>
    Object.entries(offer).every(([name, values]) => {
      const allowed = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
      const [value] = values;
      if (allowed === undefined || values.length !== 1) return false;
      if (value === true) return allowed === true || name === 'client_max_window_bits';
      return allowed !== true && allowed.test(value!);
    }),
  );
  return known.length === 0 ? undefined : extensions.format({ [DEFLATE]: known });
}

function howOf(config: Exclude<CompressionConfig, false>) {
  return config === true ? defaults : config;
}
