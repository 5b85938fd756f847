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

/**
 * Of every `ws` socket and server here; the types of `ws` don't know `closeTimeout` (in milliseconds) yet. What a message
 * inflates to is bounded by `max_message_size`.
 */
export function socketOptions(closeTimeout: number, config: CompressionConfig) {
  return { perMessageDeflate: perMessageDeflate(config), closeTimeout };
}

function perMessageDeflate(config: CompressionConfig) {
  if (config === false) return false;
  const { threshold, context_takeover: takeover } = config === true ? defaults : config;
  return { threshold, serverNoContextTakeover: !takeover, clientNoContextTakeover: !takeover };
}
