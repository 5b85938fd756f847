import { Growing } from './growing.ts';
import { misfit, typeName, Validity, type Builder, type Faults } from './json-declared-builder.ts';
import { nearestFloat } from './float32.ts';
import { doubleAt, scaledAt } from './json-number.ts';
import { storageOf, type ColumnType, type Values } from './rows.ts';
import { textOf, unquote } from './text.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const OPEN_ARRAY = 0x5b;
const OPEN_OBJECT = 0x7b;

const TEXT: ColumnType = { kind: 'varchar' };

/** Bits of the integer types, without the sign. */
const BITS: Readonly<Partial<Record<ColumnType['kind'], number>>> = {
  tinyint: 7,
  smallint: 15,
  integer: 31,
  bigint: 63,
  hugeint: 127,
  utinyint: 8,
  usmallint: 16,
  uinteger: 32,
  ubigint: 64,
  uhugeint: 128,
};

const TRUE = /^(?:true|t|yes|y|1)$/i;
const FALSE = /^(?:false|f|no|n|0)$/i;

/** Times without a zone: they would lose an offset. */
const ZONELESS = /^(?:time|time_ns|timestamp|timestamp_s|timestamp_ms|timestamp_ns)$/;
const OFFSET = /\d:\d\d(?::\d\d(?:\.\d+)?)?\s*[+-](?!0?0(?::?00)*\s*$)\d/;

const ADVICE: Readonly<Record<string, string>> = {
  'an offset from UTC': 'declare a type with a zone, such as TIMESTAMPTZ',
  'more than a date': 'declare TIMESTAMP or TIMESTAMPTZ',
  'a date': 'declare TIMESTAMP or TIMESTAMPTZ',
};
const WITH_DATE = /\d-\d/;
/** A date, and anything behind it but a time of zeros in UTC, of which nothing is lost. */
const MORE_THAN_DATE = /\d[T\s]\s*(?!\(BC\)|00?:00(?::00(?:\.0+)?)?\s*(?:Z|[+-]00?(?::?00)*)?\s*$)\S/i;

/** Names the part that a text would lose as a date or as a time without a zone; undefined if it would lose nothing. */
function lossOf(text: string, { kind }: ColumnType): string | undefined {
  if (kind === 'date') return MORE_THAN_DATE.test(text) ? 'more than a date' : undefined;
  if (!ZONELESS.test(kind)) return undefined;
  if (OFFSET.test(text)) return 'an offset from UTC';
  return /^time(?:_ns)?$/.test(kind) && WITH_DATE.test(text) ? 'a date' : undefined;
}

/** The type as which a value that is not nested is kept: text if only SQL converts it. */
export function scalarStored(type: ColumnType): ColumnType {
  const isExact = writerOf(type) !== undefined || type.kind === 'varchar' || type.kind === 'json';
  return isExact ? type : TEXT;
}

/** `length`: the number of values that are expected. */
export function scalarBuilder(type: ColumnType, faults: Faults, length: number): Builder {
  const write = writerOf(type);
  return write === undefined
    ? new BytesBuilder(type, faults, length)
    : new FixedBuilder(type, faults, length, write);
}

/** Writes the value of a text to the offset `at`. @returns why it is none, or undefined */
type Write = (json: Uint8Array, start: number, end: number, view: DataView, at: number) => string | undefined;

function writerOf(type: ColumnType): Write | undefined {
  const bits = BITS[type.kind];
  if (bits !== undefined) {
    const isSigned = bits % 8 === 7;
    return integerWriter(type, 0, isSigned ? -(1n << BigInt(bits)) : 0n, (1n << BigInt(bits)) - 1n);
  }
  if (type.kind === 'decimal') {
    const most = 10n ** BigInt(type.width) - 1n;
    return integerWriter(type, type.scale, -most, most);
  }
  if (type.kind === 'double') {
    return (json, start, end, view, at) => {
      const value = doubleAt(json, start, end);
      view.setFloat64(at, value, true);
      return realFault(value, type);
    };
  }
  if (type.kind === 'float') {
    return (json, start, end, view, at) => {
      const double = doubleAt(json, start, end);
      const value = Number.isFinite(double) ? nearestFloat(textOf(json, start, end)) : double;
      view.setFloat32(at, value, true);
      return realFault(value, type);
    };
  }
  if (type.kind === 'boolean') {
    return (json, start, end, view, at) => {
      const text = textOf(json, start, end);
      if (TRUE.test(text)) view.setUint8(at, 1);
      else if (!FALSE.test(text)) return misfit(type);
      return undefined;
    };
  }
  return undefined;
}

/** Integers, and decimals as integers without their point. */
function integerWriter(type: ColumnType, scale: number, least: bigint, most: bigint): Write {
  const { width } = storageOf(type);
  // A safe integer compares with these as it does with the bounds themselves.
  const [low, high] = [Number(least), Number(most)];
  return (json, start, end, view, at) => {
    const value = scaledAt(json, start, end, scale);
    if (typeof value === 'number') {
      if (value < low || value > high) return outOfRange(type);
      putInteger(view, at, width, value);
    } else if (typeof value === 'bigint') {
      if (value < least || value > most) return outOfRange(type);
      putBigInt(view, at, width, value);
    } else if (value === 'too large') return outOfRange(type);
    else if (value === 'no number' || scale === 0) return misfit(type);
    else return `has more digits after its point than the declared type ${typeName(type)} keeps`;
    return undefined;
  };
}

function outOfRange(type: ColumnType): string {
  return `is not within the range of the declared type ${typeName(type)}`;
}

function realFault(value: number, type: ColumnType): string | undefined {
  if (Number.isFinite(value)) return undefined;
  return Number.isNaN(value) ? misfit(type) : outOfRange(type);
}

/** Writes a safe integer as a little-endian one of `width` bytes. */
function putInteger(view: DataView, at: number, width: number, value: number): void {
  if (width === 1) view.setInt8(at, value);
  else if (width === 2) view.setInt16(at, value, true);
  else view.setInt32(at, value, true);
  if (width < 8) return;
  view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  if (width < 16) return;
  const sign = value < 0 ? -1 : 0;
  view.setInt32(at + 8, sign, true);
  view.setInt32(at + 12, sign, true);
}

function putBigInt(view: DataView, at: number, width: number, value: bigint): void {
  if (width < 8) {
    putInteger(view, at, width, Number(value));
    return;
  }
  view.setBigInt64(at, BigInt.asIntN(64, value), true);
  if (width === 16) view.setBigInt64(at + 8, BigInt.asIntN(64, value >> 64n), true);
}

/** Values of a fixed number of bytes. A string counts if it reads as the type. */
class FixedBuilder implements Builder {
  readonly #type: ColumnType;
  readonly #faults: Faults;
  readonly #width: number;
  readonly #write: Write;
  readonly #data: Growing;
  readonly #validity = new Validity();

  constructor(type: ColumnType, faults: Faults, length: number, write: Write) {
    this.#type = type;
    this.#faults = faults;
    this.#width = storageOf(type).width;
    this.#write = write;
    this.#data = new Growing(length * this.#width);
  }

  add(json: Uint8Array, start: number, end: number): boolean {
    const first = json[start]!;
    if (first === LOWER_N) {
      this.addNull();
      return true;
    }
    const at = this.#data.more(this.#width);
    const { view } = this.#data;
    let reason: string | undefined;
    if (first === QUOTE) reason = this.#writeText(json, start, end, at);
    else if (this.#isForeign(first)) reason = misfit(this.#type);
    else reason = this.#write(json, start, end, view, at);
    if (reason === undefined) return true;
    this.#validity.setNull(at / this.#width);
    return this.#faults.add(json, start, end, reason);
  }

  addNull(): void {
    this.#validity.setNull(this.#data.more(this.#width) / this.#width);
  }

  values(): Values {
    const width = this.#width;
    const data = this.#data.written;
    return { storage: 'fixed', valid: this.#validity.of(data.length / width), width, data };
  }

  /** True for an object or array, and for a number where a truth value is wanted: `"1"` is one as text. */
  #isForeign(first: number): boolean {
    if (first === OPEN_ARRAY || first === OPEN_OBJECT) return true;
    return this.#type.kind === 'boolean' && first !== LOWER_F && first !== LOWER_T;
  }

  #writeText(json: Uint8Array, start: number, end: number, at: number): string | undefined {
    const { view } = this.#data;
    if (!json.subarray(start, end).includes(BACKSLASH))
      return this.#write(json, start + 1, end - 1, view, at);
    const text = Buffer.from(unquote(textOf(json, start, end)));
    return this.#write(text, 0, text.length, view, at);
  }
}

/** Text and JSON, and the text of what only SQL converts. */
class BytesBuilder implements Builder {
  readonly #type: ColumnType;
  readonly #faults: Faults;
  readonly #data: Growing;
  readonly #offsets: Growing;
  readonly #validity = new Validity();
  #count = 0;

  constructor(type: ColumnType, faults: Faults, length: number) {
    this.#type = type;
    this.#faults = faults;
    this.#data = new Growing(length * 8);
    this.#offsets = new Growing((length + 1) * 4);
    this.#offsets.addU32(0);
  }

  add(json: Uint8Array, start: number, end: number): boolean {
    const first = json[start]!;
    if (first === LOWER_N) {
      this.addNull();
      return true;
    }
    const { kind } = this.#type;
    let reason: string | undefined;
    if (kind === 'json') this.#copy(json, start, end);
    else if (first === QUOTE) reason = this.#copyString(json, start, end);
    else if (first === OPEN_ARRAY || first === OPEN_OBJECT || (kind !== 'varchar' && kind !== 'bignum'))
      reason = misfit(this.#type);
    else this.#copy(json, start, end);
    if (reason !== undefined) this.#validity.setNull(this.#count);
    this.#end();
    return reason === undefined || this.#faults.add(json, start, end, reason);
  }

  addNull(): void {
    this.#validity.setNull(this.#count);
    this.#end();
  }

  values(): Values {
    const offsets = this.#offsets.numbers;
    return { storage: 'bytes', valid: this.#validity.of(this.#count), offsets, data: this.#data.written };
  }

  #copyString(json: Uint8Array, start: number, end: number): string | undefined {
    const loss = lossOf(textOf(json, start + 1, end - 1), this.#type);
    if (loss !== undefined)
      return `has ${loss}, which the declared type ${typeName(this.#type)} would lose; ${ADVICE[loss]}`;
    if (!json.subarray(start, end).includes(BACKSLASH)) {
      this.#copy(json, start + 1, end - 1);
      return undefined;
    }
    const text = unquote(textOf(json, start, end));
    if (!text.isWellFormed()) return 'has half of a surrogate pair, which text cannot have';
    const bytes = Buffer.from(text);
    this.#copy(bytes, 0, bytes.length);
    return undefined;
  }

  #copy(from: Uint8Array, start: number, end: number): void {
    const at = this.#data.more(end - start);
    const { bytes } = this.#data;
    if (end - start > 24) bytes.set(from.subarray(start, end), at);
    else for (let index = start; index < end; index++) bytes[at + index - start] = from[index]!;
  }

  #end(): void {
    this.#count++;
    this.#offsets.addU32(this.#data.length);
  }
}
