import { endOfContainer, endOfDigits, endOfString, endOfWord, hasLoneSurrogate } from './json-skip.ts';
import { textOf } from './text.ts';

// Constants of this module rather than imported ones: V8 folds these into the code, which makes it a third faster.
const QUOTE = 0x22;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const UPPER_E = 0x45;
const OPEN_ARRAY = 0x5b;
const LOWER_E = 0x65;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const OPEN_OBJECT = 0x7b;

const NULL = 1;
const BOOL = 2;
const INT = 4;
const LONG = 8;
const BIGINT = 16;
const HUGE = 32;
const FLOAT = 64;
const STRING = 128;
const OBJECT = 256;
const ARRAY = 512;
const NESTED = OBJECT | ARRAY;

/**
 * Kinds of a value, as bits. An integer of kind `INT` has at most 15 digits (a double holds it exactly); 64 bits hold a
 * larger one of kind `LONG`, 128 bits one of kind `BIGINT`, neither one of kind `HUGE`. `FLOAT` has a fraction or an
 * exponent. `NESTED` is both `OBJECT` and `ARRAY`.
 */
export const fieldKinds = {
  NULL,
  BOOL,
  INT,
  LONG,
  BIGINT,
  HUGE,
  FLOAT,
  STRING,
  OBJECT,
  ARRAY,
  NESTED,
} as const;

export const ALL_KINDS = 1023;

const ESCAPED = 1024;
const LONE_HALF = 2048;
const TOO_LARGE = 4096;

/** More about a value, as bits beside its kind. */
export const valueFlags = {
  /** A backslash is in it. */
  ESCAPED,
  /** An escape in it, or in a string inside it, is one half of a surrogate pair, which is not text. */
  LONE_HALF,
  /** It is a number beyond the range of a double. */
  TOO_LARGE,
} as const;

/** A number of at most this many bytes, without an exponent, is within the range of a double. */
const SAFE_NUMBER = 308;

/** Finds the ends and kinds of values in payloads that are JSON (`findJsonError` returned -1). */
export class ValueReader {
  /** The kind and the flags of the value that was read last. */
  kind = 0;

  /** Reads the value that starts at `start`. @returns its end */
  read(payload: Uint8Array, start: number, length: number): number {
    const byte = payload[start]!;
    if (byte === QUOTE) return this.#read(STRING, payload, start, endOfString(payload, start + 1, length));
    if (byte === MINUS || (byte >= ZERO && byte <= NINE)) return this.#number(payload, start, length);
    if (byte === OPEN_OBJECT)
      return this.#read(OBJECT, payload, start, endOfContainer(payload, start + 1, length));
    if (byte === OPEN_ARRAY)
      return this.#read(ARRAY, payload, start, endOfContainer(payload, start + 1, length));
    this.kind = byte === LOWER_N ? NULL : BOOL;
    return start + (byte === LOWER_F ? 5 : 4);
  }

  #read(kind: number, payload: Uint8Array, start: number, end: number): number {
    this.kind = kind;
    if (end >= 0) return end;
    this.kind |= escapesIn(payload, start, ~end);
    return ~end;
  }

  #number(payload: Uint8Array, start: number, length: number): number {
    const digits = payload[start] === MINUS ? start + 1 : start;
    let end = endOfDigits(payload, digits, length);
    const stop = payload[end];
    if (stop !== DOT && stop !== LOWER_E && stop !== UPPER_E) {
      this.kind = end - digits <= 15 ? INT : largeInteger(payload, start, end);
      return end;
    }
    if (stop === DOT) end = endOfDigits(payload, end + 1, length);
    const hasExponent = payload[end] === LOWER_E || payload[end] === UPPER_E;
    if (hasExponent) end = endOfWord(payload, end, length);
    const isSafe = !hasExponent && end - start <= SAFE_NUMBER;
    this.kind = isSafe || !isTooLarge(payload, start, end) ? FLOAT : FLOAT | TOO_LARGE;
    return end;
  }
}

/** The flags of a string, array or object that has escapes. */
export function escapesIn(payload: Uint8Array, start: number, end: number): number {
  return hasLoneSurrogate(payload, start, end) ? ESCAPED | LONE_HALF : ESCAPED;
}

/** The kind of an integer of more than 15 digits, which starts with its sign. */
function largeInteger(payload: Uint8Array, start: number, end: number): number {
  const isNegative = payload[start] === MINUS;
  const digits = isNegative ? start + 1 : start;
  if (isUpTo(isNegative ? MIN_64 : MAX_64, payload, digits, end)) return LONG;
  if (isUpTo(isNegative ? MIN_128 : MAX_128, payload, digits, end)) return BIGINT;
  return end - start > SAFE_NUMBER && isTooLarge(payload, start, end) ? HUGE | TOO_LARGE : HUGE;
}

/** The digits of the largest and the smallest integer of 64 bits and of 128 bits. */
const MAX_64 = Buffer.from('9223372036854775807');
const MIN_64 = Buffer.from('9223372036854775808');
const MAX_128 = Buffer.from('170141183460469231731687303715884105727');
const MIN_128 = Buffer.from('170141183460469231731687303715884105728');

function isUpTo(limit: Uint8Array, payload: Uint8Array, digits: number, end: number): boolean {
  if (end - digits !== limit.length) return end - digits < limit.length;
  for (let index = 0; index < limit.length; index++) {
    const difference = payload[digits + index]! - limit[index]!;
    if (difference !== 0) return difference < 0;
  }
  return true;
}

function isTooLarge(payload: Uint8Array, start: number, end: number): boolean {
  return !Number.isFinite(Number(textOf(payload, start, end)));
}
