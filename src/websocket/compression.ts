import type { WebSocket } from 'ws';
import { z } from 'zod';
import { size } from '../component/fields.ts';
import { DEFLATE, deflateOf, extensions } from './ws-internals.ts';

const how = z.strictObject({
  threshold: size().default(1024).describe('Shorter messages are not compressed.'),
  context_takeover: z
    .boolean()
    .default(false)
    .describe(
      'Whether each message is compressed with the context of those before it, which makes messages smaller. The other side may decline.',
    ),
});

const defaults = how.parse({});

export const compression = z
  .union([z.boolean(), how])
  .describe(
    'permessage-deflate (RFC 7692): `true`, or its settings. A client offers it, a server accepts it. A connection that uses it takes about 250 KiB more memory.',
  );

export type CompressionConfig = z.output<typeof compression>;

/** An incomplete frame is kept as the reads that brought it: at most this many, plus one per `BYTES_A_READ`. */
const READS = 16_384;
const BYTES_A_READ = 512;

/**
 * The options of every `ws` socket and server; the types of `ws` lack some of them. `maxMessageSize`, in bytes, also
 * bounds the inflated size of a message. `closeTimeout` is in milliseconds. `answerPings` answers the pings.
 */
export function socketOptions(closeTimeout: number, config: CompressionConfig, maxMessageSize: number) {
  return {
    perMessageDeflate: perMessageDeflate(config),
    closeTimeout,
    maxPayload: maxMessageSize,
    // Each read costs some 300 bytes besides its data: a peer that sends byte by byte could make `ws` hold 80 MiB.
    maxBufferedChunks: READS + Math.ceil(maxMessageSize / BYTES_A_READ),
    autoPong: false,
  };
}

function perMessageDeflate(config: CompressionConfig) {
  if (config === false) return false;
  const { threshold, context_takeover: takeover } = howOf(config);
  // For `ws`, false means that the other side may not ask for it either, which RFC 7692 section 7.1.1 allows it to.
  return { threshold, ...(!takeover && { serverNoContextTakeover: true, clientNoContextTakeover: true }) };
}

type Send = (data: Uint8Array | string, options: object, written?: (error?: Error | null) => void) => void;

/**
 * Completes what `ws` does by half, for a socket that has just opened and compresses: a client may do without context
 * even if the other side has not agreed to it (RFC 7692 section 7.1.1.2), and a threshold may apply with context too.
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

/** The parameters that a client may request of permessage-deflate (RFC 7692 section 7.1). */
const PARAMETERS: Readonly<Record<string, RegExp | true>> = {
  server_no_context_takeover: true,
  client_no_context_takeover: true,
  // zlib deflates with at least 9 bits, and a client that has room for 8 could not read that.
  server_max_window_bits: /^(?:9|1[0-5])$/,
  client_max_window_bits: /^(?:[89]|1[0-5])$/,
};

/**
 * The acceptable offers in a `Sec-WebSocket-Extensions`, or undefined if there are none. An offer with unsupported
 * parameters is declined, and the connection goes on without compression (RFC 7692 section 7); `ws` would refuse it.
 * @throws SyntaxError if the header is malformed
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
