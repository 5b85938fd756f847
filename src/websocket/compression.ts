import { z } from 'zod';
import { size } from '../component/fields.ts';

const how = z.strictObject({
  threshold: size().default(1024).describe('Shorter messages are sent as they are.'),
  context_takeover: z
    .boolean()
    .default(false)
    .describe(
      'Keep the compressor’s window between messages: smaller, and about 300 KiB more memory for each connection.',
    ),
});

const defaults = how.parse({});

export const compression = z
  .union([z.boolean(), how])
  .default(false)
  .describe('permessage-deflate (RFC 7692): `true`, or how. A client offers it, a server accepts it.');

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
  const { threshold, context_takeover: takeover } = config === true ? defaults : config;
  return { threshold, serverNoContextTakeover: !takeover, clientNoContextTakeover: !takeover };
}
