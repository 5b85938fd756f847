import { declareErrors, MillraceError } from '../../errors.ts';
import type { FrameDecoder, Unframed } from './framing.ts';
import { Pending } from './pending.ts';

/** The codes for bytes that are not framed as they should be; each says what the rejected bytes are. */
export const framingErrors = declareErrors({
  MILLRACE_FRAMING_INVALID: {
    help: 'Bytes are not framed as `framing` says: a length is wrong, a frame is not an array, a message has no end, a frame has more than `max_messages` messages. The frame, or the rest of it from the mistake on, went to `error_output`, inflated. If a file is not framed as `framing` says, the stream fails.',
    told: 'the frame, or a part of it, is not framed as it should be',
  },
  MILLRACE_FRAMING_COMPRESSION: {
    help: 'A frame does not inflate as `framing.compression` says, or inflates to more than `max_frame_size`. It went to `error_output` as it came. If a file does not inflate, the stream fails.',
    told: 'the frame is not compressed as it should be, or it is too large',
  },
  MILLRACE_FRAMING_TOO_LONG: {
    help: 'A message in a frame is longer than `framing.max_message_size`. The message went to `error_output`, and the others of its frame went on. If a message of a file is too long, the stream fails.',
    told: 'the message is too long',
  },
});

/** The error for bytes that are not framed as they should be. */
export function framingError(message: string): MillraceError {
  return new MillraceError(framingErrors.MILLRACE_FRAMING_INVALID, message);
}

/** The error for a message that is longer than its framing allows, in bytes. The rejected bytes are the message. */
export function tooLong(maxMessageSize: number): MillraceError {
  return new MillraceError(
    framingErrors.MILLRACE_FRAMING_TOO_LONG,
    `the message is longer than \`max_message_size\` (${maxMessageSize} bytes)`,
  );
}

export interface RecordOptions {
  readonly delimiter: Uint8Array;
  readonly maxMessageSize: number;
  /** The message of a record; undefined if it has none. */
  readonly message: (record: Uint8Array) => Uint8Array | undefined;
  /** Why bytes without a delimiter behind them are not a record; undefined if they are. */
  readonly unterminated: MillraceError | undefined;
  /** True if the bytes behind the last delimiter are a record even when empty. */
  readonly separates: boolean;
}

/** Reads records with a delimiter between them or at the end of each. */
export class RecordDecoder implements FrameDecoder {
  readonly #options: RecordOptions;
  readonly #pending = new Pending();
  /** The waiting bytes up to here have no delimiter. */
  #searched = 0;
  /** True inside a record that is too long, of which a part has been rejected. */
  #skipping = false;
  /** True if bytes have come since the last flush. */
  #begun = false;

  constructor(options: RecordOptions) {
    this.#options = options;
  }

  push(bytes: Uint8Array, out: Unframed): void {
    const { delimiter, maxMessageSize } = this.#options;
    this.#begun ||= bytes.length > 0;
    const data = asBuffer(this.#pending.take(bytes));
    let start = 0;
    for (
      let end = indexOf(data, delimiter, this.#searched);
      end >= 0;
      end = indexOf(data, delimiter, start)
    ) {
      if (this.#skipping) this.#skipping = false;
      else this.#record(data.subarray(start, end), out);
      start = end + delimiter.length;
    }
    this.#pending.skip(start);
    const left = this.#pending.length;
    // The carriage return of a line, or a part of the delimiter, may have come already.
    if (this.#skipping || left > maxMessageSize + delimiter.length) {
      const kept = Math.min(left, delimiter.length - 1);
      if (!this.#skipping) out.reject(data.subarray(start), tooLong(maxMessageSize));
      this.#skipping = true;
      this.#pending.skip(left - kept);
    }
    this.#searched = Math.max(0, this.#pending.length - delimiter.length + 1);
  }

  flush(out: Unframed): void {
    const { unterminated, separates } = this.#options;
    const rest = this.#pending.drain();
    const isRecord = rest.length > 0 || (separates && this.#begun);
    if (!this.#skipping && isRecord) {
      if (unterminated === undefined) this.#record(rest, out);
      else out.reject(rest, unterminated);
    }
    this.#skipping = false;
    this.#begun = false;
    this.#searched = 0;
  }

  #record(record: Uint8Array, out: Unframed): void {
    const { message: messageOf, maxMessageSize } = this.#options;
    const message = messageOf(record);
    if (message === undefined) return;
    if (message.length > maxMessageSize) out.reject(record, tooLong(maxMessageSize));
    else out.add(message);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function indexOf(data: Buffer, delimiter: Uint8Array, start: number): number {
  return delimiter.length === 1 ? data.indexOf(delimiter[0]!, start) : data.indexOf(delimiter, start);
}
