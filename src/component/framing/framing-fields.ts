import { z } from 'zod';
import { size } from '../fields.ts';
import { compressions } from './compression.ts';

const MAX_SIZE = 2 ** 30;

/** What every framing has besides its own fields. */
export const framingFields = {
  compression: z
    .enum(compressions)
    .optional()
    .describe(
      'How frames are compressed. `deflate` is zlib’s format (RFC 1950); `deflate_raw` has nothing around it (RFC 1951). A WebSocket text frame cannot be compressed, and is read as it is.',
    ),
  max_message_size: size({ min: 1, max: MAX_SIZE })
    .default(1024 * 1024)
    .describe('The longest message to read, in a frame. A longer one is rejected; the others go on.'),
  max_frame_size: size({ min: 1, max: MAX_SIZE })
    .default(1024 * 1024)
    .describe(
      'Reading: a frame that inflates to more than this is rejected. Writing: a frame holds no more messages than fit in this, before it is compressed, and one at least.',
    ),
  max_messages: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(10_000)
    .describe(
      'Reading: a frame has at most so many messages; the rest of it is rejected. Writing: no more are joined into one.',
    ),
};

export type FramingBounds = z.output<z.ZodObject<typeof framingFields>>;
