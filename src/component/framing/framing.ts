import type { MillraceError } from '../../errors.ts';
import type { Format } from '../../message/batch.ts';

/** How messages lie in bytes: in a frame of a socket, a message of a broker, a file. */
export interface Framing {
  /**
   * Makes a reader of bytes; each source of bytes has its own. None of its messages is longer than `maxMessageSize`
   * bytes.
   */
  decoder(maxMessageSize: number): FrameDecoder;
  /** Reads one whole frame, if that differs from a piece of a stream of bytes. */
  split?(frame: Uint8Array, maxMessageSize: number, out: Unframed): void;
  /** True if frames are bytes even when all messages in them are text. */
  readonly binary: boolean;
  /** True if a frame holds one message. */
  readonly single?: boolean | undefined;
  /** The most bytes that a frame needs for a message besides the message itself. */
  readonly overhead: number;
  /** True if the messages of a whole frame are JSON, and so is the frame. */
  readonly json?: boolean | undefined;
  /** Begins each frame. The rest of a frame, from a message on, is a frame with it. */
  readonly opening?: Uint8Array | undefined;
  /** Ends each message in a frame; undefined if nothing ends them, or not the last. */
  readonly terminator?: Uint8Array | undefined;
  /** Stands between frames in a stream of bytes, such as a file. */
  readonly behind?: Uint8Array | undefined;
  /** A message as it stands in a frame: the payload, or other bytes; an error if it cannot be in one. */
  fit(payload: Uint8Array, format: Format): Uint8Array | MillraceError;
  /** A frame of messages that fit. */
  join(messages: readonly Uint8Array[]): Uint8Array;
}

/** Reads bytes, in pieces that end anywhere. It finds the same messages however they are cut. */
export interface FrameDecoder {
  /** Takes bytes. Every part that they complete goes to `out`. It may keep the bytes, and passes views of them. */
  push(bytes: Uint8Array, out: Unframed): void;
  /** No more bytes come: the rest goes to `out`. Then it is ready for new bytes. */
  flush(out: Unframed): void;
}

/** The parts of the bytes, in order: messages, and parts that are not messages. */
export class Unframed {
  /** The messages, and the bytes of each part that is not one. */
  readonly messages: Uint8Array[] = [];
  /** Why those parts are not messages, by place. */
  errors: Map<number, MillraceError> | undefined;
  /** The first message over the limit. */
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

  /** Rejects everything from the first message over the limit as one part. */
  rejectSurplus(part: Uint8Array, error: MillraceError): void {
    this.errors ??= new Map();
    this.errors.set(this.messages.length, error);
    this.messages.push(part);
  }
}
