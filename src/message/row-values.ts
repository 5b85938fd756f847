import {
  hasNames,
  innerTypes,
  isFixed,
  type BytesValues,
  type ColumnType,
  type FixedKind,
  type ListValues,
  type RowColumn,
  type StructValues,
  type Values,
} from './rows.ts';
import {
  bignumText,
  bitText,
  dateText,
  decimalText,
  intervalText,
  timeNsText,
  timestampText,
  timeText,
  timeTzText,
  uuidText,
} from './sql-text.ts';
import { textOf } from './text.ts';

/**
 * A value of a column in JavaScript, without loss:
 * - BOOLEAN is a boolean; integers of up to 32 bits, FLOAT and DOUBLE are numbers; larger integers are bigints
 * - VARCHAR, JSON, ENUM and BIT are their text; so are DECIMAL and BIGNUM with all their digits, UUID, INTERVAL as SQL
 *   writes it, and times as ISO 8601
 * - BLOB is bytes, which are valid only as long as the rows
 * - LIST, ARRAY and a STRUCT without names are arrays, STRUCT is an object, MAP is a Map, UNION is an object with one
 *   member
 */
export type RowValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly RowValue[]
  | { readonly [name: string]: RowValue }
  | ReadonlyMap<RowValue, RowValue>;

/** Returns a row’s value of the column. */
export function valueReader({ type, values }: Pick<RowColumn, 'type' | 'values'>): (row: number) => RowValue {
  const read = notNull(type, values);
  const { valid } = values;
  return valid === undefined ? read : (row) => (valid[row] === 0 ? null : read(row));
}

/** Texts of a type whose values are bytes, except BLOB. Do not call it for NULL. */
export function textReader({ kind }: ColumnType, { offsets, data }: BytesValues): (row: number) => string {
  if (kind === 'bit') return (row) => bitText(data.subarray(offsets[row], offsets[row + 1]));
  if (kind === 'bignum') return (row) => bignumText(data.subarray(offsets[row], offsets[row + 1]));
  return (row) => textOf(data, offsets[row], offsets[row + 1]);
}

/** Values that take a fixed number of bytes. Do not call it for NULL. */
export function scalarReader(type: ColumnType, values: Values): (row: number) => Scalar {
  if (values.storage !== 'fixed') throw new TypeError(`${type.kind} has no fixed number of bytes`);
  const { data, width } = values;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (type.kind === 'decimal') {
    const read = INTEGERS[width]!;
    return (row) => decimalText(read(view, row * width), type.scale);
  }
  if (type.kind === 'enum') {
    const read = INTEGERS[width]!;
    return (row) => type.values[Number(BigInt.asUintN(width * 8, read(view, row * width)))]!;
  }
  if (!isFixed(type)) throw new TypeError(`${type.kind} has no fixed number of bytes`);
  const read = READ[type.kind];
  return (row) => read(view, row * width);
}

type Scalar = null | boolean | number | bigint | string;

/** Signed integers, by the number of their bytes. */
const INTEGERS: Readonly<Record<number, (view: DataView, at: number) => bigint>> = {
  1: (view, at) => BigInt(view.getInt8(at)),
  2: (view, at) => BigInt(view.getInt16(at, true)),
  4: (view, at) => BigInt(view.getInt32(at, true)),
  8: (view, at) => view.getBigInt64(at, true),
  16: (view, at) => (view.getBigInt64(at + 8, true) << 64n) | view.getBigUint64(at, true),
};
const [int64, int128] = [INTEGERS[8]!, INTEGERS[16]!];

const READ: Readonly<Record<FixedKind, (view: DataView, at: number) => Scalar>> = {
  null: () => null,
  boolean: (view, at) => view.getUint8(at) !== 0,
  tinyint: (view, at) => view.getInt8(at),
  smallint: (view, at) => view.getInt16(at, true),
  integer: (view, at) => view.getInt32(at, true),
  bigint: int64,
  hugeint: int128,
  utinyint: (view, at) => view.getUint8(at),
  usmallint: (view, at) => view.getUint16(at, true),
  uinteger: (view, at) => view.getUint32(at, true),
  ubigint: (view, at) => view.getBigUint64(at, true),
  uhugeint: (view, at) => BigInt.asUintN(128, int128(view, at)),
  float: (view, at) => view.getFloat32(at, true),
  double: (view, at) => view.getFloat64(at, true),
  date: (view, at) => dateText(view.getInt32(at, true)),
  time: (view, at) => timeText(Number(int64(view, at))),
  time_ns: (view, at) => timeNsText(Number(int64(view, at))),
  time_tz: (view, at) => timeTzText(view.getBigUint64(at, true)),
  timestamp_s: (view, at) => timestampText('timestamp_s', int64(view, at)),
  timestamp_ms: (view, at) => timestampText('timestamp_ms', int64(view, at)),
  timestamp: (view, at) => timestampText('timestamp', int64(view, at)),
  timestamp_ns: (view, at) => timestampText('timestamp_ns', int64(view, at)),
  timestamp_tz: (view, at) => timestampText('timestamp_tz', int64(view, at)),
  interval: (view, at) =>
    intervalText(view.getInt32(at, true), view.getInt32(at + 4, true), int64(view, at + 8)),
  uuid: (view, at) => uuidText(view.getBigUint64(at, true), view.getBigUint64(at + 8, true)),
};

function notNull(type: ColumnType, values: Values): (row: number) => RowValue {
  if (values.storage === 'fixed') return scalarReader(type, values);
  if (values.storage === 'list') return listReader(type, values);
  if (values.storage === 'struct')
    return type.kind === 'union' ? unionReader(type, values) : structReader(type, values);
  if (type.kind !== 'blob') return textReader(type, values);
  const { offsets, data } = values;
  return (row) => data.subarray(offsets[row], offsets[row + 1]);
}

function structReader(type: ColumnType, values: StructValues): (row: number) => RowValue {
  const names = type.kind === 'struct' ? type.fields.map(({ name }) => name) : [];
  const fields = innerReaders(type, values.fields);
  if (!hasNames(type)) return (row) => fields.map((read) => read(row));
  return (row) => Object.fromEntries(names.map((name, index) => [name, fields[index]!(row)]));
}

function unionReader(type: ColumnType, values: StructValues): (row: number) => RowValue {
  const names = type.kind === 'union' ? type.members.map(({ name }) => name) : [];
  const [tag, ...members] = innerReaders(type, values.fields);
  return (row) => {
    const member = Number(tag!(row));
    return Object.fromEntries([[names[member]!, members[member]!(row)]]);
  };
}

function listReader(type: ColumnType, { offsets, items }: ListValues): (row: number) => RowValue {
  const [first, second] = innerReaders(type, items);
  const itemsOf = (read: (item: number) => RowValue, row: number): RowValue[] => {
    const list: RowValue[] = [];
    for (let item = offsets[row]!; item < offsets[row + 1]!; item++) list.push(read(item));
    return list;
  };
  if (second === undefined) return (row) => itemsOf(first!, row);
  return (row) => {
    const values = itemsOf(second, row);
    return new Map(itemsOf(first!, row).map((key, index) => [key, values[index]!]));
  };
}

function innerReaders(type: ColumnType, inner: readonly Values[]): ((row: number) => RowValue)[] {
  return innerTypes(type).map((each, index) => valueReader({ type: each, values: inner[index]! }));
}
