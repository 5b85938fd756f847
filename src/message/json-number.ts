import { readDecimal } from './decimal.ts';

const PLUS = 0x2b;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** With this many digits, a number’s digits are exact in a double. */
const EXACT_DIGITS = 15;

/** Powers of ten that are exact in a double. */
const POWERS = Array.from({ length: 23 }, (_, power) => Number(`1e${power}`));

/** Numbers that are longer than this have no place in any type. */
const MAX_DIGITS = 40;

/** The digits of the last number that `readDigits` found. */
let digits = 0;
let scale = 0;
let isNegative = false;

/** Reads a number of few digits and without an exponent, as most are. @returns false for any other text */
function readDigits(json: Uint8Array, start: number, end: number): boolean {
  let at = start;
  isNegative = json[at] === MINUS;
  if (isNegative || json[at] === PLUS) at++;
  let count = end - at;
  let point = -1;
  digits = 0;
  for (; at < end; at++) {
    const byte = json[at]!;
    if (byte >= ZERO && byte <= NINE) digits = digits * 10 + byte - ZERO;
    else if (byte === DOT && point < 0) {
      point = at;
      count--;
    } else return false;
  }
  scale = point < 0 ? 0 : end - point - 1;
  return count > 0 && count <= EXACT_DIGITS;
}

/**
 * The double nearest to the number in `json` from `start` to `end`: infinite if it is beyond them, NaN for other text.
 */
export function doubleAt(json: Uint8Array, start: number, end: number): number {
  // Both operands are exact, so that the quotient is the nearest double.
  if (readDigits(json, start, end)) return (isNegative ? -digits : digits) / POWERS[scale]!;
  const text = latin1(json, start, end);
  return readDecimal(text) === undefined ? Number.NaN : Number(text);
}

/** Why a number is not an integer of the wanted scale. */
export type NotScaled = 'no number' | 'too large' | 'too many digits';

/**
 * The number in `json` from `start` to `end`, times 10 to the power of `places`, exactly: as a number if that is a safe
 * integer. A number that has more places, other than zeros, is not rounded.
 */
export function scaledAt(
  json: Uint8Array,
  start: number,
  end: number,
  places: number,
): number | bigint | NotScaled {
  if (readDigits(json, start, end)) {
    const more = places - scale;
    const shifted = more >= 0 ? digits * (POWERS[more] ?? Infinity) : digits / POWERS[-more]!;
    // Below this, products and quotients that are integers are exact.
    if (shifted <= 1e15 && Number.isInteger(shifted)) return isNegative ? -shifted : shifted;
  }
  return scaledInteger(latin1(json, start, end), places);
}

function scaledInteger(text: string, places: number): number | bigint | NotScaled {
  const number = readDecimal(text);
  if (number === undefined) return 'no number';
  const { isNegative: hasMinus, digits: all, shift, exponent } = number;
  if (all === '') return 0;
  // Infinite for an exponent of many digits.
  const power = Number(exponent) + shift + places;
  if (all.length + power > MAX_DIGITS) return 'too large';
  if (power < 0) return 'too many digits';
  const size = BigInt(all) * 10n ** BigInt(power);
  return hasMinus ? -size : size;
}

function latin1(json: Uint8Array, start: number, end: number): string {
  return Buffer.from(json.buffer, json.byteOffset + start, end - start).toString('latin1');
}
