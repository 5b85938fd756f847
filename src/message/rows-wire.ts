import { wireErrors } from './wire-errors.ts';
import { MillraceError } from '../errors.ts';
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
 * How rows are written, after a byte that says that it is rows:
 *
 *     rows    u32 rows · u32 columns · each column: text name · type · values
 *     text    u32 length · UTF-8
 *     type    u8 tag, of `TAGS` · for `decimal` u8 width · u8 scale; for `enum` u32 values · text of each;
 *             for `list` type; for `array` u32 length · type; for `struct` u32 fields · each: text name · type;
 *             for `map` type of keys · type of values
 *     values  u8, 1 where there is a byte for each value that says whether it is not NULL, which follow; then
 *             fixed: the bytes of each; bytes and lists: u32 offset of each and the end, and the bytes, or the items
 *
 * A tag says what a type is for ever; a new type gets a new one.
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
} as const satisfies Record<ColumnType['kind'], number>;

const KINDS: ReadonlyMap<number, ColumnType['kind']> = new Map(
  Object.entries(TAGS).map(([kind, tag]) => [tag, kind as ColumnType['kind']]),
);

/** @throws RangeError for rows that are not what their types say */
export function encodeRows({ length, columns }: Rows): Buffer {
  const writer = new Writer();
  writer.u32(length);
  writer.u32(columns.length);
  for (const { name, type, values } of columns) {
    writer.text(name);
    writer.type(type);
    writer.values(values);
  }
  return writer.bytes();
}

/**
 * @throws MillraceError MILLRACE_WAL_VERSION for a type that this version does not know
 * @throws RangeError for what is too short
 */
export function decodeRows(bytes: Uint8Array): Rows {
  const reader = new Reader(bytes);
  const length = reader.u32();
  const columns: RowColumn[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const name = reader.text();
    const type = reader.type();
    columns.push({ name, type, values: reader.values(type, length) });
  }
  reader.end();
  return { length, columns };
}

class Writer {
  readonly #parts: Uint8Array[] = [];

  u8(value: number): void {
    this.#parts.push(Uint8Array.of(value));
  }

  u32(value: number): void {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32LE(value);
    this.#parts.push(part);
  }

  text(value: string): void {
    const bytes = Buffer.from(value);
    this.u32(bytes.length);
    this.#parts.push(bytes);
  }

  type(type: ColumnType): void {
    this.u8(TAGS[type.kind]);
    if (type.kind === 'decimal') {
      this.u8(type.width);
      this.u8(type.scale);
    } else if (type.kind === 'enum') {
      this.u32(type.values.length);
      for (const value of type.values) this.text(value);
    } else if (type.kind === 'array') this.u32(type.length);
    else if (type.kind === 'struct') {
      this.u32(type.fields.length);
      for (const field of type.fields) {
        this.text(field.name);
        this.type(field.type);
      }
      return;
    }
    for (const inner of innerTypes(type)) this.type(inner);
  }

  values(values: Values): void {
    this.u8(values.valid === undefined ? 0 : 1);
    if (values.valid !== undefined) this.#parts.push(values.valid);
    if (values.storage === 'bytes' || values.storage === 'list') this.#offsets(values.offsets);
    if (values.storage === 'fixed' || values.storage === 'bytes') this.#parts.push(values.data);
    const inner = values.storage === 'list' ? values.items : values.storage === 'struct' ? values.fields : [];
    for (const each of inner) this.values(each);
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #offsets(offsets: Uint32Array): void {
    // Both machines and what is written are little endian.
    this.#parts.push(new Uint8Array(offsets.buffer, offsets.byteOffset, offsets.byteLength));
  }
}

class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#advance(1));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#advance(4));
  }

  text(): string {
    const length = this.u32();
    const at = this.#advance(length);
    return this.#buffer.toString('utf8', at, at + length);
  }

  type(): ColumnType {
    const tag = this.u8();
    const kind = KINDS.get(tag);
    if (kind === undefined) {
      const message = `the type of a column has the tag ${tag}, which this version of Millrace does not know; a newer one has written it`;
      throw new MillraceError(wireErrors.MILLRACE_WAL_VERSION, message);
    }
    if (kind === 'enum') return { kind, values: this.#many(() => this.text()) };
    if (kind === 'list') return { kind, of: this.type() };
    if (kind === 'struct')
      return { kind, fields: this.#many((): StructField => ({ name: this.text(), type: this.type() })) };
    // What is written one after the other is read so.
    if (kind === 'decimal') {
      const width = this.u8();
      return { kind, width, scale: this.u8() };
    }
    if (kind === 'array') {
      const length = this.u32();
      return { kind, of: this.type(), length };
    }
    if (kind === 'map') {
      const key = this.type();
      return { kind, key, value: this.type() };
    }
    return { kind };
  }

  values(type: ColumnType, length: number): Values {
    const valid = this.u8() === 0 ? undefined : this.#bytes(length);
    const { storage, width } = storageOf(type);
    const inner = (count: number): Values[] => innerTypes(type).map((each) => this.values(each, count));
    if (storage === 'fixed') return { storage, valid, width, data: this.#bytes(length * width) };
    if (storage === 'struct') return { storage, valid, length, fields: inner(length) };
    // Copied, as its place in the buffer may be none for numbers of four bytes.
    const offsets = new Uint32Array(this.#bytes((length + 1) * 4).buffer);
    const end = offsets[length]!;
    if (storage === 'bytes') return { storage, valid, offsets, data: this.#bytes(end) };
    return { storage, valid, offsets, items: inner(end) };
  }

  end(): void {
    if (this.#at !== this.#buffer.length) throw new RangeError('the content has more than its rows');
  }

  #many<T>(read: () => T): T[] {
    const count = this.u32();
    const items: T[] = [];
    while (items.length < count) items.push(read());
    return items;
  }

  #bytes(count: number): Uint8Array {
    const at = this.#advance(count);
    return Uint8Array.from(this.#buffer.subarray(at, at + count));
  }

  #advance(count: number): number {
    const at = this.#at;
    if (at + count > this.#buffer.length) throw new RangeError('the content of the rows is too short');
    this.#at = at + count;
    return at;
  }
}
