import { z } from 'zod';
import { defineFraming } from '../../component/define.ts';
import type { FrameDecoder, Unframed } from '../../component/framing/framing.ts';
import { Pending } from '../../component/framing/pending.ts';
import { framingError, tooLong } from '../../component/framing/records.ts';
import { MillraceError } from '../../errors.ts';
import { joinJsonArray } from '../../message/json.ts';
import { describeJsonError, findJsonError } from '../../message/json-validate.ts';
import { jsonProblem } from '../../component/payloads.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const newline = Buffer.from('\n');
const bracket = Buffer.of(OPEN_ARRAY);

/** Messages are the elements of an array. */
export const jsonArrayFraming = defineFraming({
  type: 'json_array',
  summary: 'A frame is a JSON array; each element is a message.',
  status: 'stable',
  description: `
The elements pass byte for byte, without the whitespace around them. A frame that is not exactly one JSON array (RFC
8259) is rejected as a whole: none of its elements passes. An input that reads a file takes one array after the other,
and rejects everything from the first wrong byte on.

On an output, each message must be one JSON value; any other goes to \`error_output\`, unless the output has a \`json\`
codec.
`.trim(),
  schema: z.strictObject({}),
  examples: [{ title: 'Arrays', yaml: 'type: json_array\n' }],
  create: () => ({
    decoder: (maxMessageSize) => new ArrayDecoder(maxMessageSize, false),
    split,
    binary: false,
    json: true,
    // A comma, or the brackets of an array with one element.
    overhead: 2,
    opening: bracket,
    behind: newline,
    fit: (payload, format) => {
      if (format === 'json' || jsonProblem(payload, false) === undefined) return payload;
      const message =
        'the message is not JSON, and the output writes arrays of JSON; set `codec: { type: json }` on the output to write it as a JSON string';
      return new MillraceError('MILLRACE_OUTPUT_REFUSED', message);
    },
    join: joinJsonArray,
  }),
});

/** All elements, or none if the frame is not an array. */
function split(frame: Uint8Array, maxMessageSize: number, out: Unframed): void {
  const wrong = findJsonError(frame);
  const problem = wrong >= 0 ? describeJsonError(frame, wrong) : 'it is JSON, but not an array';
  if (wrong >= 0 || frame[endOfSpace(frame, 0)] !== OPEN_ARRAY) {
    return out.reject(frame, framingError(`not a JSON array: ${problem}`));
  }
  const decoder = new ArrayDecoder(maxMessageSize, true);
  decoder.push(frame, out);
  decoder.flush(out);
}

/** Reads arrays, one after the other. */
class ArrayDecoder implements FrameDecoder {
  readonly #maxMessageSize: number;
  /** True if the bytes have already been checked to be arrays. */
  readonly #checked: boolean;
  readonly #pending = new Pending();
  /** Before an array, right after its bracket, after an element, before one, in one, or after a mistake. */
  #state: 'outside' | 'opened' | 'next' | 'inside' | 'broken' = 'outside';
  /** How much of the element at the start of the waiting bytes has been read. */
  #read = 0;
  #depth = 0;
  #inString = false;

  constructor(maxMessageSize: number, checked: boolean) {
    this.#maxMessageSize = maxMessageSize;
    this.#checked = checked;
  }

  push(bytes: Uint8Array, out: Unframed): void {
    if (this.#state === 'broken') return;
    const data = this.#pending.take(bytes);
    let at = 0;
    while (at < data.length) {
      if (this.#state === 'inside') {
        const end = this.#endOfElement(data, at);
        if (end < 0) break;
        const element = data.subarray(at, trimmed(data, at, end));
        if (!this.#checked) {
          const wrong = findJsonError(element);
          if (wrong >= 0) return this.#break(data.subarray(at), describeJsonError(element, wrong), out);
        }
        if (element.length > this.#maxMessageSize) out.reject(element, tooLong(this.#maxMessageSize));
        else out.add(element);
        this.#state = data[end] === COMMA ? 'next' : 'outside';
        at = end + 1;
        continue;
      }
      at = endOfSpace(data, at);
      if (at >= data.length) break;
      const byte = data[at]!;
      if (this.#state === 'outside') {
        if (byte !== OPEN_ARRAY) return this.#break(data.subarray(at), 'expected `[`', out);
        this.#state = 'opened';
        at++;
      } else if (this.#state === 'opened' && byte === CLOSE_ARRAY) {
        this.#state = 'outside';
        at++;
      } else {
        this.#state = 'inside';
        this.#read = 0;
      }
    }
    this.#pending.skip(Math.min(at, data.length));
    if (this.#pending.length > this.#maxMessageSize) {
      out.reject(this.#pending.drain(), tooLong(this.#maxMessageSize));
      this.#state = 'broken';
    }
  }

  flush(out: Unframed): void {
    const rest = this.#pending.drain();
    const whole = this.#state === 'outside' || this.#state === 'broken';
    if (!whole) out.reject(rest, framingError('not a JSON array: it ends too early'));
    this.#state = 'outside';
    this.#depth = 0;
    this.#inString = false;
  }

  #break(rest: Uint8Array, problem: string, out: Unframed): void {
    out.reject(rest, framingError(`not a JSON array from here on: ${problem}`));
    this.#pending.clear();
    this.#state = 'broken';
    this.#depth = 0;
    this.#inString = false;
  }

  /** Where the comma or the bracket behind the element at `start` is; -1 if it has not come yet. */
  #endOfElement(data: Uint8Array, start: number): number {
    for (let at = start + this.#read; at < data.length; at++) {
      const byte = data[at]!;
      if (this.#inString) {
        if (byte === QUOTE) this.#inString = false;
        else if (byte === BACKSLASH) at++;
      } else if (byte === QUOTE) this.#inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#depth++;
      else if (this.#depth === 0 && (byte === COMMA || byte === CLOSE_ARRAY)) return at;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) this.#depth--;
      // It may be past the end, if a backslash was the last byte that came.
      this.#read = at + 1 - start;
    }
    return -1;
  }
}

function endOfSpace(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && isSpace(bytes[at]!)) at++;
  return at;
}

/** The end of the bytes from `start` to `end`, without the whitespace behind them. */
function trimmed(bytes: Uint8Array, start: number, end: number): number {
  let at = end;
  while (at > start && isSpace(bytes[at - 1]!)) at--;
  return at;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
