/** Types whose values take a fixed number of bytes, with that number. All are little-endian. */
export const FIXED_BYTES = {
  /** The type of a column that has only NULL. */
  null: 1,
  /** 0 or 1. */
  boolean: 1,
  tinyint: 1,
  smallint: 2,
  integer: 4,
  bigint: 8,
  hugeint: 16,
  utinyint: 1,
  usmallint: 2,
  uinteger: 4,
  ubigint: 8,
  uhugeint: 16,
  float: 4,
  double: 8,
  /** Days since 1970-01-01. */
  date: 4,
  /** Microseconds since midnight, and nanoseconds. */
  time: 8,
  time_ns: 8,
  /** The microseconds in the upper 40 bits; in the lower 24, how many seconds the offset is below +15:59:59. */
  time_tz: 8,
  /** Seconds, milliseconds, microseconds or nanoseconds since 1970-01-01 00:00:00. */
  timestamp_s: 8,
  timestamp_ms: 8,
  timestamp: 8,
  timestamp_ns: 8,
  /** Microseconds since 1970-01-01 00:00:00 UTC. */
  timestamp_tz: 8,
  /** Months (4 bytes), days (4), microseconds (8). */
  interval: 16,
  /** The UUID as a number, with its highest bit flipped. */
  uuid: 16,
} as const;

export type FixedKind = keyof typeof FIXED_BYTES;

/**
 * Types whose values are bytes: UTF-8 for `varchar` and `json`, which is exactly one JSON value. A `bit` begins with a
 * byte that says how many of the next byte’s upper bits do not count. A `bignum` begins with three bytes, the number of
 * the others with the highest bit set; the others are the number’s, the most significant first. All bits of a negative
 * one are flipped.
 */
export const BYTES_KINDS = ['varchar', 'json', 'blob', 'bit', 'bignum'] as const;
export type BytesKind = (typeof BYTES_KINDS)[number];

export interface StructField {
  readonly name: string;
  readonly type: ColumnType;
}

/** The type of a column’s values. */
export type ColumnType =
  | { readonly kind: FixedKind | BytesKind }
  /** An integer of 2, 4, 8 or 16 bytes, depending on the width: the value without its point. */
  | { readonly kind: 'decimal'; readonly width: number; readonly scale: number }
  /** The place in `values`, of 1, 2 or 4 bytes, depending on their number. */
  | { readonly kind: 'enum'; readonly values: readonly string[] }
  | { readonly kind: 'list'; readonly of: ColumnType }
  | { readonly kind: 'array'; readonly of: ColumnType; readonly length: number }
  /** Either all fields have names, each another one, or none has, and then each name is empty. */
  | { readonly kind: 'struct'; readonly fields: readonly StructField[] }
  /** A struct of the number of the member that the value is (`utinyint`), and all members. */
  | { readonly kind: 'union'; readonly members: readonly StructField[] }
  | { readonly kind: 'map'; readonly key: ColumnType; readonly value: ColumnType };

interface Nullable {
  /** A byte for each value: 0 if it is NULL. Undefined if none is NULL. */
  readonly valid: Uint8Array | undefined;
}

/** The values of a column, or of a part of it: the value of each row, in order. */
export type Values = FixedValues | BytesValues | ListValues | StructValues;

export interface FixedValues extends Nullable {
  readonly storage: 'fixed';
  /** Bytes of each value. */
  readonly width: number;
  readonly data: Uint8Array;
}

export interface BytesValues extends Nullable {
  readonly storage: 'bytes';
  /** The start of each value, and the end of the last one. */
  readonly offsets: Uint32Array;
  readonly data: Uint8Array;
}

/** Lists, arrays and maps. */
export interface ListValues extends Nullable {
  readonly storage: 'list';
  /** The start of the items of each value, and the end of the last ones. */
  readonly offsets: Uint32Array;
  /** The items of all values; for a map, its keys and its values. */
  readonly items: readonly Values[];
}

export interface StructValues extends Nullable {
  readonly storage: 'struct';
  readonly length: number;
  readonly fields: readonly Values[];
}

/** A column of rows. `valueReader` reads its values in JavaScript. */
export interface RowColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly values: Values;
}

/**
 * Typed rows: plain data that can be cloned into a worker and written (`encodeRows`). They are kept by columns, as
 * databases and most typed consumers use them. No two columns have the same name.
 */
export interface Rows {
  readonly length: number;
  readonly columns: readonly RowColumn[];
}

/** True for a type whose kind determines the bytes of a value. */
export function isFixed(type: ColumnType): type is { readonly kind: FixedKind } {
  return Object.hasOwn(FIXED_BYTES, type.kind);
}

/** How values of the type are stored, and the bytes of each if they are fixed. */
export function storageOf(type: ColumnType): { storage: Values['storage']; width: number } {
  if (isFixed(type)) return { storage: 'fixed', width: FIXED_BYTES[type.kind] };
  if (type.kind === 'decimal') return { storage: 'fixed', width: decimalBytes(type.width) };
  if (type.kind === 'enum') return { storage: 'fixed', width: enumBytes(type.values.length) };
  if (type.kind === 'struct' || type.kind === 'union') return { storage: 'struct', width: 0 };
  const isList = type.kind === 'list' || type.kind === 'array' || type.kind === 'map';
  return { storage: isList ? 'list' : 'bytes', width: 0 };
}

/** The types inside a type, in the order of `items` or `fields`. */
export function innerTypes(type: ColumnType): readonly ColumnType[] {
  if (type.kind === 'list' || type.kind === 'array') return [type.of];
  if (type.kind === 'map') return [type.key, type.value];
  if (type.kind === 'union') return [TAG, ...type.members.map((member) => member.type)];
  return type.kind === 'struct' ? type.fields.map((field) => field.type) : [];
}
const TAG: ColumnType = { kind: 'utinyint' };

/** True for a struct whose fields have names: `row(1, 2)` gives them none. */
export function hasNames(type: ColumnType): boolean {
  return type.kind === 'struct' && (type.fields.length === 0 || type.fields.some(({ name }) => name !== ''));
}

export function lengthOf(values: Values): number {
  if (values.storage === 'struct') return values.length;
  return values.storage === 'fixed' ? values.data.length / values.width : values.offsets.length - 1;
}

/** Bytes of memory that the rows’ values take. */
export function bytesOfRows(rows: Rows): number {
  let sum = 0;
  for (const { values } of rows.columns) sum += bytesOf(values);
  return sum;
}

/** Bytes of memory that the values take. */
export function bytesOf(values: Values): number {
  let sum = values.valid?.length ?? 0;
  if (values.storage === 'fixed' || values.storage === 'bytes') sum += values.data.length;
  if (values.storage === 'bytes' || values.storage === 'list') sum += values.offsets.byteLength;
  for (const inner of innerValues(values)) sum += bytesOf(inner);
  return sum;
}

function innerValues(values: Values): readonly Values[] {
  if (values.storage === 'list') return values.items;
  return values.storage === 'struct' ? values.fields : [];
}

/** The rows at these places, in their order. */
export function selectRows(rows: Rows, indices: readonly number[]): Rows {
  const columns = rows.columns.map((column) => ({ ...column, values: selectValues(column.values, indices) }));
  return { length: indices.length, columns };
}

/** The values at these places, in their order. */
export function selectValues(values: Values, indices: ArrayLike<number>): Values {
  const { length } = indices;
  let valid: Uint8Array | undefined;
  if (values.valid !== undefined) {
    valid = new Uint8Array(length);
    for (let at = 0; at < length; at++) valid[at] = values.valid[indices[at]!]!;
  }
  if (values.storage === 'struct') {
    const fields = values.fields.map((each) => selectValues(each, indices));
    return { storage: 'struct', valid, length, fields };
  }
  if (values.storage === 'fixed') return selectFixed(values, indices, valid);
  const offsets = offsetsOf(values.offsets, indices);
  if (values.storage === 'bytes') {
    const data = new Uint8Array(offsets[length]!);
    for (let at = 0; at < length; at++) {
      const index = indices[at]!;
      data.set(values.data.subarray(values.offsets[index], values.offsets[index + 1]), offsets[at]);
    }
    return { storage: 'bytes', valid, offsets, data };
  }
  const inner = new Uint32Array(offsets[length]!);
  for (let at = 0, to = 0; at < length; at++) {
    const index = indices[at]!;
    for (let from = values.offsets[index]!; from < values.offsets[index + 1]!; from++) inner[to++] = from;
  }
  return { storage: 'list', valid, offsets, items: values.items.map((each) => selectValues(each, inner)) };
}

function selectFixed(
  { width, data }: FixedValues,
  indices: ArrayLike<number>,
  valid: Uint8Array | undefined,
): FixedValues {
  const selected = new Uint8Array(indices.length * width);
  for (let at = 0; at < indices.length; at++) {
    const from = indices[at]! * width;
    const to = at * width;
    for (let byte = 0; byte < width; byte++) selected[to + byte] = data[from + byte]!;
  }
  return { storage: 'fixed', valid, width, data: selected };
}

function offsetsOf(from: Uint32Array, indices: ArrayLike<number>): Uint32Array {
  const offsets = new Uint32Array(indices.length + 1);
  for (let at = 0; at < indices.length; at++)
    offsets[at + 1] = offsets[at]! + from[indices[at]! + 1]! - from[indices[at]!]!;
  return offsets;
}

/** All rows, in order; undefined if their columns differ. */
export function concatRows(parts: readonly Rows[]): Rows | undefined {
  const [first, ...others] = parts;
  if (first === undefined || others.length === 0) return first;
  const signature = JSON.stringify(columnsOf(first));
  if (others.some((part) => JSON.stringify(columnsOf(part)) !== signature)) return undefined;
  return {
    length: parts.reduce((sum, { length }) => sum + length, 0),
    columns: first.columns.map(({ name, type }, index) => ({
      name,
      type,
      values: concatValues(
        type,
        parts.map((part) => part.columns[index]!.values),
      ),
    })),
  };
}

/** Names and types as a key: rows with equal keys can be joined. */
export function columnsOf(rows: Rows): StructField[] {
  return rows.columns.map(({ name, type }) => ({ name, type }));
}

/** The values of all parts, in order; none if there are no parts. */
export function concatValues(type: ColumnType, parts: readonly Values[]): Values {
  if (parts.length === 1) return parts[0]!;
  const length = parts.reduce((sum, part) => sum + lengthOf(part), 0);
  let valid: Uint8Array | undefined;
  if (parts.some((part) => part.valid !== undefined)) {
    valid = new Uint8Array(length).fill(1);
    let at = 0;
    for (const part of parts) {
      if (part.valid !== undefined) valid.set(part.valid, at);
      at += lengthOf(part);
    }
  }
  const { storage, width } = storageOf(type);
  const inner = (of: (part: Values) => readonly Values[]): Values[] =>
    innerTypes(type).map((each, index) =>
      concatValues(
        each,
        parts.map((part) => of(part)[index]!),
      ),
    );
  const dataOf = (part: Values): Uint8Array => ('data' in part ? part.data : new Uint8Array());
  if (storage === 'struct') return { storage, valid, length, fields: inner(innerValues) };
  if (storage === 'fixed') return { storage, valid, width, data: concatBytes(parts.map(dataOf)) };
  const offsets = new Uint32Array(length + 1);
  let at = 0;
  for (const part of parts) {
    if (!('offsets' in part)) continue;
    const before = offsets[at]!;
    for (let index = 1; index < part.offsets.length; index++) offsets[++at] = before + part.offsets[index]!;
  }
  if (storage === 'bytes') return { storage, valid, offsets, data: concatBytes(parts.map(dataOf)) };
  return { storage, valid, offsets, items: inner(innerValues) };
}

function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const data = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data;
}

function decimalBytes(width: number): number {
  if (width <= 4) return 2;
  if (width <= 9) return 4;
  return width <= 18 ? 8 : 16;
}

function enumBytes(count: number): number {
  if (count <= 0xff) return 1;
  return count <= 0xffff ? 2 : 4;
}
