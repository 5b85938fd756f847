import { unknownTag, WireParts, WireReader } from './wire-bytes.ts';
import {
  innerTypes,
  storageOf,
  type ColumnType,
  type RowColumn,
  type Rows,
  type StructField,
  type Values,
} from './rows.ts';

/**
 * The format of rows:
 *
 *     rows    u32 rows · u32 columns · each column: text name · type · values
 *     text    u32 length · UTF-8
 *     type    u8 tag, of `TAGS` · for `decimal` u8 width · u8 scale; for `enum` u32 values · text of each;
 *             for `list` type; for `array` u32 length · type; for `struct` and `union` u32 fields or members · each:
 *             text name · type;
 *             for `map` type of keys · type of values
 *     values  u8: 1 if a byte for each value follows that is 1 where it is not NULL; then
 *             fixed: the bytes of each; bytes and lists: u32 offset of each and the end, and the bytes, or the items
 *
 * A tag stands for one type for ever; a new type gets a new tag.
 */
const TAGS = {
  boolean: 1,
  tinyint: 2,
  smallint: 3,
  integer: 4,
  bigint: 5,
  hugeint: 6,
  utinyint: 7,
  usmallint: 8,
  uinteger: 9,
  ubigint: 10,
  uhugeint: 11,
  float: 12,
  double: 13,
  date: 14,
  time: 15,
  time_ns: 16,
  time_tz: 17,
  timestamp_s: 18,
  timestamp_ms: 19,
  timestamp: 20,
  timestamp_ns: 21,
  timestamp_tz: 22,
  interval: 23,
  uuid: 24,
  varchar: 25,
  json: 26,
  blob: 27,
  decimal: 28,
  enum: 29,
  list: 30,
  array: 31,
  struct: 32,
  map: 33,
  null: 34,
  union: 35,
  bit: 36,
  bignum: 37,
} as const satisfies Record<ColumnType['kind'], number>;

const KINDS: ReadonlyMap<number, ColumnType['kind']> = new Map(
  Object.entries(TAGS).map(([kind, tag]) => [tag, kind as ColumnType['kind']]),
);

export function encodeRows({ length, columns }: Rows): Buffer {
  const parts = new WireParts();
  parts.u32(length);
  parts.u32(columns.length);
  for (const { name, type, values } of columns) {
    parts.text(name);
    writeType(parts, type);
    writeValues(parts, values);
  }
  return parts.all();
}

/**
 * @throws MillraceError MILLRACE_WAL_VERSION for a type that this version does not know
 * @throws RangeError for bytes that are too short or too long
 */
export function decodeRows(bytes: Uint8Array): Rows {
  const reader = new WireReader(bytes);
  const length = reader.u32();
  const columns = reader.many((): RowColumn => {
    const name = readText(reader);
    const type = readType(reader);
    return { name, type, values: readValues(reader, type, length) };
  });
  reader.end();
  return { length, columns };
}

function writeType(parts: WireParts, type: ColumnType): void {
  parts.u8(TAGS[type.kind]);
  if (type.kind === 'decimal') {
    parts.u8(type.width);
    parts.u8(type.scale);
  } else if (type.kind === 'enum') {
    parts.u32(type.values.length);
    for (const value of type.values) parts.text(value);
  } else if (type.kind === 'array') parts.u32(type.length);
  else if (type.kind === 'struct' || type.kind === 'union') {
    const fields = type.kind === 'struct' ? type.fields : type.members;
    parts.u32(fields.length);
    for (const field of fields) {
      parts.text(field.name);
      writeType(parts, field.type);
    }
    return;
  }
  for (const inner of innerTypes(type)) writeType(parts, inner);
}

function readType(reader: WireReader): ColumnType {
  const tag = reader.u8();
  const kind = KINDS.get(tag);
  if (kind === undefined) throw unknownTag('the type of a column', tag);
  if (kind === 'enum') return { kind, values: reader.many(() => readText(reader)) };
  if (kind === 'list') return { kind, of: readType(reader) };
  const readFields = (): StructField[] =>
    reader.many((): StructField => ({ name: readText(reader), type: readType(reader) }));
  if (kind === 'struct') return { kind, fields: readFields() };
  if (kind === 'union') return { kind, members: readFields() };
  // Read in the order of writing.
  if (kind === 'decimal') {
    const width = reader.u8();
    return { kind, width, scale: reader.u8() };
  }
  if (kind === 'array') {
    const length = reader.u32();
    return { kind, of: readType(reader), length };
  }
  if (kind === 'map') {
    const key = readType(reader);
    return { kind, key, value: readType(reader) };
  }
  return { kind };
}

function writeValues(parts: WireParts, values: Values): void {
  const { valid, storage } = values;
  parts.u8(valid === undefined ? 0 : 1);
  if (valid !== undefined) parts.bytes(valid);
  if (storage === 'bytes' || storage === 'list') parts.numbers(values.offsets);
  if (storage === 'fixed' || storage === 'bytes') parts.bytes(values.data);
  const inner = storage === 'list' ? values.items : storage === 'struct' ? values.fields : [];
  for (const each of inner) writeValues(parts, each);
}

function readValues(reader: WireReader, type: ColumnType, length: number): Values {
  const tag = reader.u8();
  if (tag > 1) throw unknownTag('the values of a column', tag);
  const valid = tag === 0 ? undefined : readBytes(reader, length);
  const { storage, width } = storageOf(type);
  const inner = (count: number): Values[] => innerTypes(type).map((each) => readValues(reader, each, count));
  if (storage === 'fixed') return { storage, valid, width, data: readBytes(reader, length * width) };
  if (storage === 'struct') return { storage, valid, length, fields: inner(length) };
  const offsets = new Uint32Array(reader.copy((length + 1) * 4));
  const end = offsets[length]!;
  if (storage === 'bytes') return { storage, valid, offsets, data: readBytes(reader, end) };
  return { storage, valid, offsets, items: inner(end) };
}

function readText(reader: WireReader): string {
  return reader.text().toString();
}

/** A copy, so that rows stay intact when their source is reused. */
function readBytes(reader: WireReader, count: number): Uint8Array {
  return new Uint8Array(reader.copy(count));
}
