import { z } from 'zod';
import { size } from '../fields.ts';
import { compressions } from './compression.ts';

const MAX_SIZE = 2 ** 30;

/** The fields that every framing has besides its own. */
export const framingFields = {
  compression: z
    .enum(compressions)
    .optional()
    .describe(
      'How frames are compressed. `deflate` is zlib’s format (RFC 1950); `deflate_raw` has no header or checksum (RFC 1951). A WebSocket text frame cannot be compressed; Millrace reads it unchanged.',
    ),
  max_message_size: size({ min: 1, max: MAX_SIZE })
    .default(1024 * 1024)
    .describe('The longest message to read in a frame. A longer one is rejected; the others go on.'),
  max_frame_size: size({ min: 1, max: MAX_SIZE })
    .default(1024 * 1024)
    .describe(
      'Reading: a frame that inflates to more than this is rejected. Writing: a frame holds only as many messages as fit into this size before compression, but at least one.',
    ),
  max_messages: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(10_000)
    .describe(
      'Reading: the most messages in a frame; the rest of the frame is rejected. Writing: the most messages to join into one frame.',
    ),
};

export type FramingBounds = z.output<z.ZodObject<typeof framingFields>>;
