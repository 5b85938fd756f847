import { shortestOfFloat } from './float32.ts';

const QUOTE = 0x22;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

/** The text of JSON’s escape for each control character, without the backslash. */
const ESCAPES = Array.from({ length: SPACE }, (_, code) =>
  JSON.stringify(String.fromCharCode(code)).slice(2, -1),
);
const LONGEST_ESCAPE = 6;

/** From here on, copying a text whole is faster than byte by byte. */
const SHORT = 24;

/** The most bytes of a number: `-1.7976931348623157e308`, and a decimal of 38 digits with a sign and a point. */
const LONGEST_NUMBER = 41;

/** Integers up to this, and each decimal fraction of as many digits, are one double each and the shortest text of it. */
const EXACT = 1e15;

/** JSON text in the making: everything is written to one piece of memory, which grows. */
export class JsonWriter {
  #bytes: Buffer;
  #at = 0;

  /** `size`: the number of bytes that are expected. */
  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(size, 64));
  }

  /** Everything that was written. */
  get written(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  /** Begins anew; what was written before is lost. */
  clear(): void {
    this.#at = 0;
  }

  byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = byte;
  }

  /** Text of ASCII characters, as it is. */
  ascii(text: string): void {
    const { length } = text;
    this.#reserve(length);
    if (length > SHORT) this.#at += this.#bytes.write(text, this.#at, 'latin1');
    else for (let index = 0; index < length; index++) this.#bytes[this.#at++] = text.charCodeAt(index);
  }

  /** Bytes from `start` to `end`, as they are. */
  copy(from: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#reserve(length);
    const bytes = this.#bytes;
    let at = this.#at;
    if (length > SHORT) bytes.set(from.subarray(start, end), at);
    else for (let index = start; index < end; index++) bytes[at++] = from[index]!;
    this.#at += length;
  }

  /** UTF-8 from `start` to `end` as a JSON string. */
  string(from: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start + 2);
    let bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = QUOTE;
    for (let index = start; index < end; index++) {
      const byte = from[index]!;
      if (byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH) {
        bytes[at++] = byte;
        continue;
      }
      this.#at = at;
      // The rest of the string may need as many bytes as it has, and its closing quote one.
      this.#reserve(LONGEST_ESCAPE + end - index + 1);
      bytes = this.#bytes;
      bytes[at++] = BACKSLASH;
      if (byte >= SPACE) bytes[at++] = byte;
      else at += bytes.write(ESCAPES[byte]!, at, 'latin1');
    }
    bytes[at++] = QUOTE;
    this.#at = at;
  }

  /** Text of ASCII characters, none of which takes an escape, as a JSON string. */
  quoted(text: string): void {
    this.byte(QUOTE);
    this.ascii(text);
    this.byte(QUOTE);
  }

  /** A safe integer. */
  integer(value: number): void {
    this.decimal(value, 0);
  }

  /** A safe integer without its point, which stands before the last `scale` digits. */
  decimal(value: number, scale: number): void {
    this.#reserve(LONGEST_NUMBER);
    if (value < 0) this.#bytes[this.#at++] = MINUS;
    this.#digits(Math.abs(value), scale);
  }

  /**
   * The shortest text that reads as the same double. It has a point or an exponent, so that a column’s values have one
   * type. NaN and infinities are null.
   */
  double(value: number): void {
    if (!Number.isFinite(value)) {
      this.ascii('null');
      return;
    }
    const size = Math.abs(value);
    const scale = scaleOf(size);
    if (scale === undefined) {
      this.ascii(doubleText(value));
      return;
    }
    this.#reserve(LONGEST_NUMBER);
    if (value < 0 || Object.is(value, -0)) this.#bytes[this.#at++] = MINUS;
    this.#fraction(Math.round(size * POWERS[scale]), scale);
  }

  /** Like `double`, for the value of a FLOAT, which has fewer digits. */
  float(value: number): void {
    this.double(shortestOfFloat(value));
  }

  /** Like `decimal`, without zeros at the end. */
  #fraction(value: number, scale: number): void {
    let shorter = value;
    let digits = scale;
    for (; digits > 1; digits--) {
      const next = Math.floor(shorter / 10);
      if (next * 10 !== shorter) break;
      shorter = next;
    }
    this.#digits(shorter, digits);
  }

  #digits(value: number, scale: number): void {
    let count = scale + 1;
    for (let power = 10 ** count; value >= power; power *= 10) count++;
    const bytes = this.#bytes;
    let at = this.#at + count + (scale === 0 ? 0 : 1);
    this.#at = at;
    let rest = value;
    for (let place = 0; place < count; place++) {
      if (place === scale && place > 0) bytes[--at] = DOT;
      const next = rest < 0x8000_0000 ? (rest / 10) | 0 : Math.floor(rest / 10);
      bytes[--at] = ZERO + (rest - next * 10);
      rest = next;
    }
  }

  #reserve(count: number): void {
    const needed = this.#at + count;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

const POWERS = { 1: 10, 3: 1e3, 6: 1e6 } as const;

/** A number of digits after the point that holds the double exactly, if it is found fast. */
function scaleOf(size: number): 1 | 3 | 6 | undefined {
  if (size < EXACT / 1e6) {
    if (Math.round(size * 1e3) / 1e3 === size) return 3;
    return Math.round(size * 1e6) / 1e6 === size ? 6 : undefined;
  }
  return size < EXACT / 10 && Math.floor(size) === size ? 1 : undefined;
}

/** A finite number with a point, or with an exponent without a plus. */
export function doubleText(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  const text = String(value);
  if (text.includes('e')) return text.replace('e+', 'e');
  return text.includes('.') ? text : `${text}.0`;
}
