import { inflate, inflated } from './compression.ts';
import { Unframed, type FrameDecoder, type Framing } from './framing.ts';
import type { FramingBounds } from './framing-fields.ts';
import { framingError, framingErrors, tooLong } from './records.ts';

/** Finds the messages of an input in its frames. */
export class Unframer {
  readonly #framing: Framing;
  readonly #bounds: FramingBounds;
  readonly #decoder: FrameDecoder;

  constructor(framing: Framing, bounds: FramingBounds) {
    this.#framing = framing;
    this.#bounds = bounds;
    this.#decoder = framing.decoder(bounds.max_message_size);
  }

  /** True if frames are compressed; frames that are known to be text are not. */
  get inflates(): boolean {
    return this.#bounds.compression !== undefined;
  }

  /** True if the bytes of messages are not text. */
  get binary(): boolean {
    return this.#framing.binary;
  }

  /** The messages of one frame, as views of it or of its decompressed bytes. Never throws. */
  split(frame: Uint8Array, text: boolean): Unframed {
    const { compression, max_frame_size, max_messages } = this.#bounds;
    const out = new Unframed(max_messages);
    let bytes = frame;
    if (compression !== undefined && !text) {
      const inflated = inflate(compression, frame, max_frame_size);
      if (inflated instanceof Error) {
        out.reject(frame, inflated);
        return out;
      }
      bytes = inflated;
    }
    this.#find(bytes, out);
    if (out.surplus !== undefined) {
      out.rejectSurplus(
        this.#rest(bytes, out.surplus, out.messages.at(-1)!),
        framingError(`the frame has more than \`max_messages\` (${max_messages}) messages`),
      );
    }
    return out;
  }

  /** The messages of a part that was rejected with an error of `framingErrors`, of that code. Never throws. */
  again(part: Uint8Array, code: string): Unframed {
    const { max_message_size } = this.#bounds;
    if (code === framingErrors.MILLRACE_FRAMING_COMPRESSION.code) return this.split(part, false);
    if (code === framingErrors.MILLRACE_FRAMING_TOO_LONG.code) {
      const out = new Unframed();
      if (part.length > max_message_size) out.reject(part, tooLong(max_message_size));
      else out.add(part);
      return out;
    }
    // It may be the rest of a frame, and has been inflated.
    const found = this.split(part, true);
    const { opening } = this.#framing;
    if (opening === undefined || found.errors?.has(0) !== true) return found;
    const restored = this.split(Buffer.concat([opening, part]), true);
    return restored.errors?.has(0) === true ? found : restored;
  }

  #find(bytes: Uint8Array, out: Unframed): void {
    if (this.#framing.split !== undefined)
      return this.#framing.split(bytes, this.#bounds.max_message_size, out);
    this.#decoder.push(bytes, out);
    this.#decoder.flush(out);
  }

  /** The bytes of a frame from the first message over the limit on, with its length prefix if it has one. */
  #rest(bytes: Uint8Array, surplus: Uint8Array, last: Uint8Array): Uint8Array {
    const found = this.#framing.binary ? last.byteOffset + last.length : surplus.byteOffset;
    const start = found - bytes.byteOffset;
    if (surplus.buffer === bytes.buffer && start >= 0 && start <= bytes.length) return bytes.subarray(start);
    // The framing has copied its messages, so their places in the frame are not known.
    const all = new Unframed();
    this.#find(bytes, all);
    return this.#framing.join(all.messages.slice(this.#bounds.max_messages));
  }

  /** Reads bytes that come in pieces, such as a file, already decompressed. */
  stream(): FrameDecoder {
    return this.#framing.decoder(this.#bounds.max_message_size);
  }

  /** The decompressed bytes of a source that comes in pieces. @throws as `inflated` */
  inflated(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const { compression } = this.#bounds;
    return compression === undefined ? source : inflated(compression, source);
  }
}
