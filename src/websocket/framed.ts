import type { Unframer } from '../component/framing/unframer.ts';
import type { MillraceError } from '../errors.ts';

/**
 * Calls `take` for each message of a frame in order, and for each part that is not a message, as `refused` says.
 * `hidden` is true for bytes that matchers do not look at: those of a binary frame, unless they were text before they
 * were compressed.
 * @returns the number of calls
 */
export function forEachMessage(
  unframer: Unframer,
  frame: Buffer,
  binary: boolean,
  take: (message: Buffer, hidden: boolean, refused: MillraceError | undefined) => void,
): number {
  const { messages, errors } = unframer.split(frame, !binary);
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index]!;
    const refused = errors?.get(index);
    const hidden = binary && (!unframer.inflates || refused !== undefined);
    const { buffer, byteOffset, length } = message;
    take(Buffer.isBuffer(message) ? message : Buffer.from(buffer, byteOffset, length), hidden, refused);
  }
  return messages.length;
}
