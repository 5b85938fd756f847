import type { MillraceError } from '../../errors.ts';
import type { Format } from '../../message/batch.ts';

/** How messages lie in bytes: in a frame of a socket, a message of a broker, a file. */
export interface Framing {
  /** Makes a reader of bytes; each source of them has its own. No message of it is longer than `maxMessageSize` bytes. */
  decoder(maxMessageSize: number): FrameDecoder;
  /** Reads one whole frame, where that is another thing than a piece of a stream of bytes. */
  split?(frame: Uint8Array, maxMessageSize: number, out: Unframed): void;
  /** True where frames are bytes also when all messages in them are text. */
  readonly binary: boolean;
  /** True where a frame holds one message. */
  readonly single?: boolean | undefined;
  /** The most bytes that a frame has for a message besides the message itself. */
  readonly overhead: number;
  /** The messages of a whole frame are JSON, and so is the frame. */
  readonly json?: boolean | undefined;
  /** Each message in a frame ends with it; undefined where none does, or not the last. */
  readonly terminator?: Uint8Array | undefined;
  /** What stands between frames in a stream of bytes, such as a file. */
  readonly behind?: Uint8Array | undefined;
  /** A message as it stands in a frame: the payload, or other bytes; an error where it cannot be in one. */
  fit(payload: Uint8Array, format: Format): Uint8Array | MillraceError;
  /** A frame of messages that fit. */
  join(messages: readonly Uint8Array[]): Uint8Array;
}

/** Reads bytes, in pieces that end anywhere. It gives the same messages however they are cut. */
export interface FrameDecoder {
  /** Takes bytes in. What is complete by then goes to `out`. It may keep the bytes, and gives views of them. */
  push(bytes: Uint8Array, out: Unframed): void;
  /** No more bytes come: what is left goes to `out`. Then it is ready for other bytes. */
  flush(out: Unframed): void;
}

/** What bytes had in them, in its order: messages, and parts that are none. */
export class Unframed {
  /** The messages, and the bytes of each part that is none. */
  readonly messages: Uint8Array[] = [];
  /** Why those are none, by their places. */
  errors: Map<number, MillraceError> | undefined;
  /** The first message that was one too many. */
  surplus: Uint8Array | undefined;
  readonly #limit: number;

  constructor(limit = Infinity) {
    this.#limit = limit;
  }

  add(message: Uint8Array): void {
    if (this.messages.length < this.#limit) this.messages.push(message);
    else this.surplus ??= message;
  }

  reject(part: Uint8Array, error: MillraceError): void {
    if (this.messages.length >= this.#limit) {
      this.surplus ??= part;
      return;
    }
    this.errors ??= new Map();
    this.errors.set(this.messages.length, error);
    this.messages.push(part);
  }

  /** All from the first message on that was one too many is one part. */
  rejectSurplus(part: Uint8Array, error: MillraceError): void {
    this.errors ??= new Map();
    this.errors.set(this.messages.length, error);
    this.messages.push(part);
  }
}
