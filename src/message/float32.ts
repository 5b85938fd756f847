import { readDecimal } from './decimal.ts';

/** The smallest float that has all its bits; smaller ones have fewer digits. */
const LEAST_NORMAL = 2 ** -126;

/** Digits that every decimal number keeps in a float, and digits that tell all floats apart. */
const KEPT_DIGITS = 6;
const ALL_DIGITS = 9;

/** The digits of a number in the middle of two floats, at most. */
const DIGITS_OF_MIDDLE = 150;

/**
 * The shortest decimal number that reads as the same float, as a double. Integers that a double keeps to the digit stay
 * as they are, since a reader may take them for doubles; so do NaN and infinities.
 */
export function shortestOfFloat(value: number): number {
  if (!Number.isFinite(value) || Number.isSafeInteger(value)) return value;
  const short = fewDigits(value);
  if (short !== undefined) return short;
  for (let digits = Math.abs(value) < LEAST_NORMAL ? 1 : KEPT_DIGITS; digits < ALL_DIGITS; digits++) {
    for (const text of [value.toPrecision(digits), above(value, digits)])
      if (nearestFloat(text) === value) return Number(text);
  }
  return Number(value.toPrecision(ALL_DIGITS));
}

/**
 * The number of so many digits after the one nearest to the value, away from zero: below a power of two, floats are
 * closer together than above it.
 */
function above(value: number, digits: number): string {
  const [mantissa = '', exponent = ''] = Math.abs(value)
    .toExponential(digits - 1)
    .split('e');
  const next = Number(mantissa.replace('.', '')) + 1;
  return `${value < 0 ? '-' : ''}${next}e${Number(exponent) - digits + 1}`;
}

/** The one number of at most six digits that reads as the float, if it has few behind its point. */
function fewDigits(value: number): number | undefined {
  for (let power = 10; power <= 1e6; power *= 10) {
    const shifted = Math.round(value * power);
    if (Math.abs(shifted) >= 1e6) return undefined;
    if (Math.fround(shifted / power) === value) return shifted / power;
  }
  return undefined;
}

const floats = new Float32Array(1);
const bits = new Int32Array(floats.buffer);

/**
 * The float nearest to a decimal number in JSON’s spelling, infinite for a number beyond them. A double between the two
 * would round twice: a number just beside the middle of two floats would first become that middle.
 */
export function nearestFloat(text: string): number {
  const double = Number(text);
  const float = Math.fround(double);
  if (float === double) return float;
  const size = Math.abs(double);
  floats[0] = Math.abs(float);
  const below = floats[0] > size;
  bits[0] = bits[0]! + (below ? -1 : 1);
  const other = floats[0];
  const [near, far] = [finite(Math.abs(float)), finite(other)];
  if ((near + far) / 2 !== size) return float;
  const side = compareSize(text, size);
  if (side === 0) return float;
  const away = side > 0 ? Math.max(Math.abs(float), other) : Math.min(Math.abs(float), other);
  return double < 0 ? -away : away;
}

/** Rounding takes infinity for the next power of two. */
function finite(float: number): number {
  return float === Infinity ? 2 ** 128 : float;
}

/** Compares the size of a decimal number, exactly, with that of a positive double in the middle of two floats. */
function compareSize(text: string, double: number): number {
  const { digits, shift, exponent } = readDecimal(text)!;
  const first = digits.slice(0, DIGITS_OF_MIDDLE);
  const power = Number(exponent) + shift + digits.length - first.length;
  // The middle of two floats is a whole number of 2 ** -150.
  let [left, right] = [BigInt(first) << 150n, BigInt(double * 2 ** 150)];
  if (power > 0) left *= 10n ** BigInt(power);
  else right *= 10n ** BigInt(-power);
  if (left !== right) return left > right ? 1 : -1;
  return digits.length > first.length ? 1 : 0;
}
