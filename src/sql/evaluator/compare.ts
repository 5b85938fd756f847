import type { ColumnType, FixedValues, Values } from '../../message/rows.ts';
import type { Literal } from './literal.ts';
import { TRUE, UNKNOWN } from './truth.ts';

/** How the values of a column compare with a literal: for which of the three outcomes the comparison is true, as bits. */
const LESS = 1;
const EQUAL = 2;
const GREATER = 4;

/** The comparisons of DuckDB’s tree. */
export const comparisons: ReadonlyMap<string, number> = new Map([
  ['COMPARE_EQUAL', EQUAL],
  ['COMPARE_NOTEQUAL', LESS | GREATER],
  ['COMPARE_LESSTHAN', LESS],
  ['COMPARE_LESSTHANOREQUALTO', LESS | EQUAL],
  ['COMPARE_GREATERTHAN', GREATER],
  ['COMPARE_GREATERTHANOREQUALTO', GREATER | EQUAL],
]);

/** The same comparison with its sides exchanged. */
export function flipped(comparison: number): number {
  const sides = ((comparison & LESS) === 0 ? 0 : GREATER) | ((comparison & GREATER) === 0 ? 0 : LESS);
  return (comparison & EQUAL) | sides;
}

/** Writes the truth of something about each value of a column. A value that is NULL may get any truth. */
export type Test = (values: Values, length: number, truths: Uint8Array) => void;

/**
 * The comparison of a column’s values with a literal as DuckDB makes it; undefined if it would convert the one or the
 * other in a way that may fail or lose something.
 */
export function compareWith({ kind }: ColumnType, comparison: number, literal: Literal): Test | undefined {
  if (!COMPARED.has(kind)) return undefined;
  if (literal.kind === 'null') return isUnknown;
  if (literal.kind === 'boolean')
    return kind === 'boolean' ? compareBooleans(comparison, literal.value) : undefined;
  if (literal.kind === 'text')
    return kind === 'varchar' ? compareTexts(comparison, Buffer.from(literal.value)) : undefined;
  if (kind === 'double') return compareDoubles(comparison, valueOf(literal));
  return literal.kind === 'decimal' ? compareIntegers(kind, comparison, literal) : undefined;
}

const COMPARED: ReadonlySet<ColumnType['kind']> = new Set([
  'boolean',
  'tinyint',
  'smallint',
  'integer',
  'bigint',
  'hugeint',
  'double',
  'varchar',
]);

const isUnknown: Test = (_, length, truths) => void truths.fill(UNKNOWN, 0, length);

/** Digits and power of ten are exact, so the quotient is the double nearest to the decimal. */
function valueOf(literal: Literal & { kind: 'decimal' | 'double' }): number {
  return literal.kind === 'double' ? literal.value : literal.digits / 10 ** literal.scale;
}

function compareIntegers(
  kind: ColumnType['kind'],
  comparison: number,
  { digits, scale }: Literal & { kind: 'decimal' },
): Test | undefined {
  const one = 10 ** scale;
  const above = ((digits % one) + one) % one;
  const floor = (digits - above) / one;
  if (kind === 'tinyint' || kind === 'smallint' || kind === 'integer')
    return compareSmall(comparison, floor, above > 0);
  if (kind === 'bigint') return compareBigints(comparison, floor, above > 0);
  // DuckDB makes a DECIMAL of both if one is one, and not every HUGEINT fits it.
  return kind === 'hugeint' && scale === 0 ? compareHugeints(comparison, floor) : undefined;
}

/** `sign`: -1, 0 or 1. */
function truthOf(comparison: number, sign: number): number {
  return ((comparison >> (sign + 1)) & 1) * TRUE;
}

function compareBooleans(comparison: number, literal: boolean): Test {
  return (values, length, truths) => {
    const data = bytesOf(values);
    for (let row = 0; row < length; row++) truths[row] = truthOf(comparison, data[row]! - Number(literal));
  };
}

/** To DuckDB, NaN is equal to itself and greater than everything else. */
function compareDoubles(comparison: number, literal: number): Test {
  return (values, length, truths) => {
    const data = aligned(bytesOf(values), Float64Array.BYTES_PER_ELEMENT);
    const numbers = new Float64Array(data.buffer, data.byteOffset, length);
    for (let row = 0; row < length; row++) {
      const value = numbers[row]!;
      truths[row] = truthOf(comparison, value < literal ? -1 : Number(value !== literal));
    }
  };
}

/** Integers of up to 32 bits. `isBelow`: the literal has a fraction, and is above `floor`. */
function compareSmall(comparison: number, floor: number, isBelow: boolean): Test {
  const same = isBelow ? -1 : 0;
  return (values, length, truths) => {
    const { data, width } = fixed(values);
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (let row = 0; row < length; row++) {
      const value =
        width === 4
          ? view.getInt32(row * 4, true)
          : width === 2
            ? view.getInt16(row * 2, true)
            : view.getInt8(row);
      truths[row] = truthOf(comparison, value === floor ? same : order(value, floor));
    }
  };
}

/** The same for 64 bits. */
function compareBigints(comparison: number, floor: number, isBelow: boolean): Test {
  const high = Math.floor(floor / 2 ** 32);
  const low = floor - high * 2 ** 32;
  const same = isBelow ? -1 : 0;
  return (values, length, truths) => {
    const words = wordsOf(values);
    for (let row = 0; row < length; row++) {
      const upper = words[2 * row + 1]!;
      const lower = words[2 * row]! >>> 0;
      const sign = upper === high ? (lower === low ? same : lower < low ? -1 : 1) : upper < high ? -1 : 1;
      truths[row] = truthOf(comparison, sign);
    }
  };
}

function compareHugeints(comparison: number, literal: number): Test {
  const high = Math.floor(literal / 2 ** 32);
  const low = literal - high * 2 ** 32;
  const fill = literal < 0 ? -1 : 0;
  return (values, length, truths) => {
    const words = wordsOf(values);
    for (let row = 0; row < length; row++) {
      const at = 4 * row;
      const sign =
        order(words[at + 3]!, fill) ||
        order(words[at + 2]! >>> 0, fill >>> 0) ||
        order(words[at + 1]! >>> 0, high >>> 0) ||
        order(words[at]! >>> 0, low);
      truths[row] = truthOf(comparison, sign);
    }
  };
}

function order(one: number, other: number): number {
  return one < other ? -1 : Number(one > other);
}

/** Texts are ordered by their bytes; a text that another begins with is less. */
function compareTexts(comparison: number, literal: Uint8Array): Test {
  return (values, length, truths) => {
    const { data, offsets } = textsOf(values);
    for (let row = 0; row < length; row++) {
      const start = offsets[row]!;
      const size = offsets[row + 1]! - start;
      // Most comparisons only ask for equality, and most texts differ in length or in the first byte.
      const shared = Math.min(size, literal.length);
      let at = 0;
      while (at < shared && data[start + at] === literal[at]) at++;
      const sign = at < shared ? order(data[start + at]!, literal[at]!) : order(size, literal.length);
      truths[row] = truthOf(comparison, sign);
    }
  };
}

function fixed(values: Values): FixedValues {
  if (values.storage !== 'fixed') throw new TypeError('these values have no fixed number of bytes');
  return values;
}

function bytesOf(values: Values): Uint8Array {
  return fixed(values).data;
}

/** A BOOLEAN column as a condition. */
export const isTrue: Test = compareBooleans(EQUAL, true);

/** The values of texts. */
export function textsOf(values: Values): { readonly offsets: Uint32Array; readonly data: Uint8Array } {
  if (values.storage !== 'bytes') throw new TypeError('these values are no texts');
  return values;
}

function wordsOf(values: Values): Int32Array {
  const data = aligned(bytesOf(values), Int32Array.BYTES_PER_ELEMENT);
  return new Int32Array(data.buffer, data.byteOffset, data.byteLength / Int32Array.BYTES_PER_ELEMENT);
}

/** Rows that were read from a log may begin anywhere. */
function aligned(data: Uint8Array, size: number): Uint8Array {
  return data.byteOffset % size === 0 ? data : data.slice();
}
