import { inflate, inflated } from './compression.ts';
import { Unframed, type FrameDecoder, type Framing } from './framing.ts';
import type { FramingBounds } from './framing-fields.ts';
import { framingError } from './records.ts';

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
    const { compression, max_frame_size, max_message_size, max_messages } = this.#bounds;
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
    if (this.#framing.split !== undefined) this.#framing.split(bytes, max_message_size, out);
    else {
      this.#decoder.push(bytes, out);
      this.#decoder.flush(out);
    }
    if (out.surplus !== undefined) {
      const rest = bytes.subarray(this.#startOf(out.surplus, out.messages.at(-1)!) - bytes.byteOffset);
      out.rejectSurplus(
        rest,
        framingError(`the frame has more than \`max_messages\` (${max_messages}) messages`),
      );
    }
    return out;
  }

  /** Where the surplus begins in memory: at the length prefix of its first message, if it has one. */
  #startOf(surplus: Uint8Array, last: Uint8Array): number {
    return this.#framing.binary ? last.byteOffset + last.length : surplus.byteOffset;
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
