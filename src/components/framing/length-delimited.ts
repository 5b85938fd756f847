import { z } from 'zod';
import { defineFraming } from '../../component/define.ts';
import type { FrameDecoder, Unframed } from '../../component/framing/framing.ts';
import { Pending } from '../../component/framing/pending.ts';
import { framingError } from '../../component/framing/records.ts';
import { MillraceError } from '../../errors.ts';

/** A varint of more bytes than this is not a length: JavaScript's numbers could not hold it exactly. */
const LONGEST_VARINT = 7;

const schema = z.strictObject({
  prefix: z
    .union([z.literal([1, 2, 4, 8]), z.literal('varint')])
    .default(4)
    .describe(
      'The size in bytes of the length before each message; `varint` for 7 bits a byte, the lowest first, as in Protobuf and in the binary protocol of SignalR.',
    ),
  byte_order: z
    .enum(['big', 'little'])
    .default('big')
    .describe('Which byte of the length comes first: the highest (`big`, network order) or the lowest.'),
  length_includes_prefix: z
    .boolean()
    .default(false)
    .describe('The length counts the bytes of the prefix as well.'),
});

/** A message has its length before it. */
export const lengthDelimitedFraming = defineFraming({
  type: 'length_delimited',
  summary: 'The length of each message stands before it, in bytes.',
  status: 'stable',
  description:
    'A message may be empty. Behind a length that cannot be right (more than there is, less than its own prefix, more than `max_message_size`), messages cannot be told apart: everything there is rejected as one. Its frames are binary.',
  schema: schema.superRefine(({ prefix, length_includes_prefix }, context) => {
    if (prefix !== 'varint' || !length_includes_prefix) return;
    const message = 'is not for `prefix: varint`, which has no size of its own';
    context.addIssue({ code: 'custom', path: ['length_includes_prefix'], message });
  }),
  examples: [
    { title: 'Four bytes, the highest first', yaml: 'type: length_delimited\n' },
    { title: 'The binary protocol of SignalR', yaml: 'type: length_delimited\nprefix: varint\n' },
  ],
  create: ({ prefix, byte_order, length_includes_prefix }) => {
    const length =
      prefix === 'varint' ? varint : fixed(prefix, byte_order === 'big', length_includes_prefix ? prefix : 0);
    const tooBig = new MillraceError(
      'MILLRACE_OUTPUT_REFUSED',
      `the message is too long for a length of ${prefix} byte${prefix === 1 ? '' : 's'}`,
    );
    return {
      decoder: (maxMessageSize) => new LengthDecoder(length, maxMessageSize),
      binary: true,
      overhead: length.size,
      fit: (payload) => (payload.length > length.max ? tooBig : payload),
      join: (messages) => {
        let size = 0;
        for (const message of messages) size += length.size + message.length;
        const frame = Buffer.allocUnsafe(size);
        let at = 0;
        for (const message of messages) {
          at = length.write(frame, at, message.length);
          frame.set(message, at);
          at += message.length;
        }
        return frame.subarray(0, at);
      },
    };
  },
});

/** A way to write a length. */
interface LengthFormat {
  /** Its bytes, at most. */
  readonly size: number;
  /** The longest message. */
  readonly max: number;
  /** @returns where it ends */
  write(into: Buffer, at: number, length: number): number;
  /** The size of the length at `at`, in bytes; 0 if part of it is missing. */
  sizeAt(bytes: Uint8Array, at: number): number;
  /** The length in the `size` bytes at `at`. Negative or Infinity if it cannot be a length. */
  read(bytes: Uint8Array, at: number, size: number): number;
}

/** `included` bytes of the prefix count in the length. */
function fixed(size: 1 | 2 | 4 | 8, big: boolean, included: number): LengthFormat {
  const place = (index: number): number => (big ? size - 1 - index : index);
  return {
    size,
    max: Math.min(2 ** (8 * size) - 1, Number.MAX_SAFE_INTEGER) - included,
    write: (into, at, length) => {
      let left = length + included;
      for (let index = 0; index < size; index++) {
        into[at + place(index)] = left % 256;
        left = Math.floor(left / 256);
      }
      return at + size;
    },
    sizeAt: (bytes, at) => (at + size > bytes.length ? 0 : size),
    read: (bytes, at) => {
      let length = 0;
      for (let index = size - 1; index >= 0; index--) length = length * 256 + bytes[at + place(index)]!;
      return length - included;
    },
  };
}

const varint: LengthFormat = {
  size: LONGEST_VARINT,
  max: Number.MAX_SAFE_INTEGER,
  write: (into, start, length) => {
    let at = start;
    let left = length;
    for (; left >= 128; left = Math.floor(left / 128)) into[at++] = (left % 128) + 128;
    into[at++] = left;
    return at;
  },
  sizeAt: (bytes, start) => {
    for (let at = start; at < bytes.length; at++) {
      if (bytes[at]! < 128 || at - start === LONGEST_VARINT) return at - start + 1;
    }
    return 0;
  },
  read: (bytes, at, size) => {
    if (size > LONGEST_VARINT) return Infinity;
    let length = 0;
    for (let index = size - 1; index >= 0; index--) length = length * 128 + (bytes[at + index]! % 128);
    return length;
  },
};

class LengthDecoder implements FrameDecoder {
  readonly #format: LengthFormat;
  readonly #maxMessageSize: number;
  readonly #pending = new Pending();
  /** A length was wrong: messages behind it cannot be told apart. */
  #broken = false;

  constructor(format: LengthFormat, maxMessageSize: number) {
    this.#format = format;
    this.#maxMessageSize = maxMessageSize;
  }

  push(bytes: Uint8Array, out: Unframed): void {
    if (this.#broken) return;
    const data = this.#pending.take(bytes);
    let at = 0;
    while (at < data.length) {
      const size = this.#format.sizeAt(data, at);
      if (size === 0) break;
      const length = this.#format.read(data, at, size);
      if (!(length >= 0 && length <= this.#maxMessageSize)) {
        out.reject(data.subarray(at), this.#wrong(length));
        this.#broken = true;
        return this.#pending.clear();
      }
      const end = at + size;
      if (end + length > data.length) break;
      out.add(data.subarray(end, end + length));
      at = end + length;
    }
    this.#pending.skip(at);
  }

  flush(out: Unframed): void {
    const rest = this.#pending.drain();
    this.#broken = false;
    if (rest.length === 0) return;
    const size = this.#format.sizeAt(rest, 0);
    const message =
      size === 0
        ? 'it ends in the middle of a length'
        : `the length is ${this.#format.read(rest, 0, size)}, and ${rest.length - size} bytes are left`;
    out.reject(rest, framingError(message));
  }

  #wrong(length: number): MillraceError {
    if (length > this.#maxMessageSize && Number.isFinite(length)) {
      return framingError(
        `the length is ${length}, and \`max_message_size\` is ${this.#maxMessageSize} bytes`,
      );
    }
    return framingError(
      length < 0 ? 'the length is less than its own prefix' : 'the length has more than 49 bits',
    );
  }
}
