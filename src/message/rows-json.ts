import { mayHaveNaN, nullForNaN } from './json-finite.ts';
import { JsonWriter } from './json-writer.ts';
import { scalarReader, textReader } from './row-values.ts';
import {
  bytesOfRows,
  hasNames,
  innerTypes,
  type BytesValues,
  type ColumnType,
  type FixedValues,
  type ListValues,
  type Rows,
  type StructValues,
  type Values,
} from './rows.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The bytes that a row is expected to take for a column, besides its name and its value’s own. */
const ROOM = 12;

/** Writes a row’s value. A value that is NULL is not written by it. */
type Write = (row: number, json: JsonWriter) => void;

/**
 * Each row as a JSON object and a line feed, without loss: numbers with all their digits, JSON as it is spelled, times
 * as ISO 8601, a BLOB as base64. NaN and infinities, which JSON has not, are null.
 */
export function rowsToLines(rows: Rows): Buffer {
  const { columns, length } = rows;
  let size = 3 * length;
  const names = columns.map(({ name }, index) => {
    const before = Buffer.from(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`);
    size += (before.length + ROOM) * length;
    return before;
  });
  const json = new JsonWriter(size + bytesOfRows(rows));
  const writers = columns.map(({ type, values }) => valueWriter(type, values));
  const end = Buffer.from(columns.length === 0 ? '{}\n' : '}\n');
  for (let row = 0; row < length; row++) {
    for (let index = 0; index < writers.length; index++) {
      const before = names[index]!;
      json.copy(before, 0, before.length);
      writers[index]!(row, json);
    }
    json.copy(end, 0, end.length);
  }
  return json.written;
}

/** Returns a function that writes a row’s value as JSON. */
export function valueWriter(type: ColumnType, values: Values): Write {
  const write = notNull(type, values);
  const { valid } = values;
  if (valid === undefined) return write;
  return (row, json) => {
    if (valid[row] === 0) json.ascii('null');
    else write(row, json);
  };
}

function notNull(type: ColumnType, values: Values): Write {
  if (values.storage === 'fixed') return fixedWriter(type, values);
  if (values.storage === 'bytes') return bytesWriter(type, values);
  if (values.storage === 'list')
    return type.kind === 'map' ? mapWriter(type, values) : listWriter(type, values);
  return type.kind === 'union' ? unionWriter(type, values) : structWriter(type, values);
}

const NUMBERS: Readonly<
  Partial<Record<ColumnType['kind'], (json: JsonWriter, view: DataView, row: number) => void>>
> = {
  null: (json) => json.ascii('null'),
  boolean: (json, view, row) => json.ascii(view.getUint8(row) === 0 ? 'false' : 'true'),
  tinyint: (json, view, row) => json.integer(view.getInt8(row)),
  smallint: (json, view, row) => json.integer(view.getInt16(row * 2, true)),
  integer: (json, view, row) => json.integer(view.getInt32(row * 4, true)),
  utinyint: (json, view, row) => json.integer(view.getUint8(row)),
  usmallint: (json, view, row) => json.integer(view.getUint16(row * 2, true)),
  uinteger: (json, view, row) => json.integer(view.getUint32(row * 4, true)),
  float: (json, view, row) => json.float(view.getFloat32(row * 4, true)),
  double: (json, view, row) => json.double(view.getFloat64(row * 8, true)),
};

function fixedWriter(type: ColumnType, values: FixedValues): Write {
  const { data } = values;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const write = NUMBERS[type.kind];
  if (write !== undefined) return (row, json) => write(json, view, row);
  if (type.kind === 'decimal') return decimalWriter(type, values, type.scale);
  if (type.kind === 'bigint' || type.kind === 'hugeint') return decimalWriter(type, values, 0);
  const read = scalarReader(type, values);
  if (type.kind === 'ubigint' || type.kind === 'uhugeint')
    return (row, json) => json.ascii(String(read(row)));
  if (type.kind !== 'enum') return (row, json) => json.quoted(String(read(row)));
  const quoted = new Map(type.values.map((value) => [value, Buffer.from(JSON.stringify(value))]));
  return (row, json) => {
    const text = quoted.get(String(read(row)))!;
    json.copy(text, 0, text.length);
  };
}

/** Signed integers of a number of bytes, and DECIMAL. Most of them are safe integers. */
function decimalWriter(type: ColumnType, values: FixedValues, scale: number): Write {
  const { data, width } = values;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (width === 2) return (row, json) => json.decimal(view.getInt16(row * 2, true), scale);
  if (width === 4) return (row, json) => json.decimal(view.getInt32(row * 4, true), scale);
  const read = scalarReader(type, values);
  return (row, json) => {
    const at = row * width;
    const low = view.getUint32(at, true);
    const high = view.getInt32(at + 4, true);
    const isLong =
      width === 16 &&
      (view.getInt32(at + 8, true) !== high >> 31 || view.getInt32(at + 12, true) !== high >> 31);
    if (isLong || high >= SAFE_HIGH || high < -SAFE_HIGH) json.ascii(String(read(row)));
    else json.decimal(high * 0x1_0000_0000 + low, scale);
  };
}
/** From here on, an integer whose upper half this is may not be safe. */
const SAFE_HIGH = 0x20_0000;

function bytesWriter(type: ColumnType, values: BytesValues): Write {
  const { data, offsets } = values;
  if (type.kind === 'varchar') return (row, json) => json.string(data, offsets[row]!, offsets[row + 1]!);
  if (type.kind === 'json') {
    const plain = oneLine(data);
    if (!mayHaveNaN(plain)) return (row, json) => json.copy(plain, offsets[row]!, offsets[row + 1]!);
    return (row, json) => {
      const value = nullForNaN(plain.subarray(offsets[row], offsets[row + 1]));
      json.copy(value, 0, value.length);
    };
  }
  if (type.kind === 'blob') {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
    return (row, json) => json.quoted(bytes.toString('base64', offsets[row], offsets[row + 1]));
  }
  const read = textReader(type, values);
  // BIGNUM is a number, BIT a text.
  return type.kind === 'bignum'
    ? (row, json) => json.ascii(read(row))
    : (row, json) => json.quoted(read(row));
}

/** A line break between the tokens of JSON becomes a space: each row is one line. */
function oneLine(data: Uint8Array): Uint8Array {
  if (!data.includes(LF) && !data.includes(CR)) return data;
  return data.map((byte) => (byte === LF || byte === CR ? SPACE : byte));
}

/** An object; fields without names are an array. */
function structWriter(type: ColumnType, values: StructValues): Write {
  const types = type.kind === 'struct' ? type.fields : [];
  const isNamed = hasNames(type);
  const [open, close] = isNamed ? [OPEN_OBJECT, CLOSE_OBJECT] : [OPEN_ARRAY, CLOSE_ARRAY];
  const befores = types.map(({ name }, index) =>
    Buffer.from((index === 0 ? '' : ',') + (isNamed ? `${JSON.stringify(name)}:` : '')),
  );
  const writers = types.map((field, index) => valueWriter(field.type, values.fields[index]!));
  return (row, json) => {
    json.byte(open);
    for (let index = 0; index < writers.length; index++) {
      const before = befores[index]!;
      json.copy(before, 0, before.length);
      writers[index]!(row, json);
    }
    json.byte(close);
  };
}

/** A value as an object with one member, of the name under which the union has it. */
function unionWriter(type: ColumnType, { fields }: StructValues): Write {
  const members = type.kind === 'union' ? type.members : [];
  const tags = fields[0] as FixedValues;
  const befores = members.map(({ name }) => Buffer.from(`{${JSON.stringify(name)}:`));
  const writers = members.map((member, index) => valueWriter(member.type, fields[index + 1]!));
  return (row, json) => {
    const tag = tags.data[row]!;
    const before = befores[tag]!;
    json.copy(before, 0, before.length);
    writers[tag]!(row, json);
    json.byte(CLOSE_OBJECT);
  };
}

function listWriter(type: ColumnType, { offsets, items }: ListValues): Write {
  const write = valueWriter(innerTypes(type)[0]!, items[0]!);
  return (row, json) => {
    const [start, end] = [offsets[row]!, offsets[row + 1]!];
    json.byte(OPEN_ARRAY);
    for (let item = start; item < end; item++) {
      if (item > start) json.byte(COMMA);
      write(item, json);
    }
    json.byte(CLOSE_ARRAY);
  };
}

/** An object; a key that is no text is the text of its JSON. */
function mapWriter(type: ColumnType, { offsets, items }: ListValues): Write {
  const [keyType, valueType] = innerTypes(type);
  const write = valueWriter(valueType!, items[1]!);
  const writeKey = keyWriter(keyType!, items[0]!);
  return (row, json) => {
    const [start, end] = [offsets[row]!, offsets[row + 1]!];
    json.byte(OPEN_OBJECT);
    for (let item = start; item < end; item++) {
      if (item > start) json.byte(COMMA);
      writeKey(item, json);
      json.byte(COLON);
      write(item, json);
    }
    json.byte(CLOSE_OBJECT);
  };
}

function keyWriter(type: ColumnType, values: Values): Write {
  const write = valueWriter(type, values);
  const key = new JsonWriter(0);
  return (row, json) => {
    key.clear();
    write(row, key);
    const { written } = key;
    if (written[0] === QUOTE) json.copy(written, 0, written.length);
    else json.string(written, 0, written.length);
  };
}
