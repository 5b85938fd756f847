import {
  isMetaName,
  NO_COLUMNS,
  type ExtValue,
  type MetaColumn,
  type MetaColumns,
  type MetaName,
} from './metadata.ts';
import { unknownTag, type WireParts, type WireReader } from './wire-bytes.ts';

/**
 * The format of metadata columns:
 *
 *     columns  u32 columns · each: text name · u8 kind · values
 *     numbers  f64 of each message
 *     offsets  i64 of each
 *     values   of each: u8 type · nothing, text, f64 or u32 texts · each
 *
 * A tag stands for one kind, or one type, for ever; a new one gets a new tag.
 */
const kinds = { numbers: 1, offsets: 2, values: 3 } as const;
const types = { absent: 0, text: 1, number: 2, list: 3 } as const;

export function writeColumns(parts: WireParts, columns: MetaColumns): void {
  parts.u32(columns.size);
  for (const [name, column] of columns) {
    parts.text(name);
    if (column instanceof Float64Array) {
      parts.u8(kinds.numbers);
      parts.numbers(column);
    } else if (column instanceof BigInt64Array) {
      parts.u8(kinds.offsets);
      parts.numbers(column);
    } else {
      parts.u8(kinds.values);
      for (let index = 0; index < column.length; index++) writeValue(parts, column[index]);
    }
  }
}

function writeValue(parts: WireParts, value: ExtValue | undefined): void {
  if (value === undefined) parts.u8(types.absent);
  else if (typeof value === 'string') {
    parts.u8(types.text);
    parts.text(value);
  } else if (typeof value === 'number') {
    parts.u8(types.number);
    parts.f64(value);
  } else {
    parts.u8(types.list);
    parts.u32(value.length);
    for (const each of value) parts.text(each);
  }
}

/** @throws MillraceError MILLRACE_WAL_VERSION for a tag or a name that this version does not know */
export function readColumns(reader: WireReader, length: number): MetaColumns {
  const columns = new Map<MetaName, MetaColumn>();
  for (let left = reader.u32(); left > 0; left--) {
    const name = reader.text().toString();
    if (!isMetaName(name)) throw unknownTag('a column of metadata', JSON.stringify(name));
    columns.set(name, readColumn(reader, length));
  }
  return columns.size === 0 ? NO_COLUMNS : columns;
}

function readColumn(reader: WireReader, length: number): MetaColumn {
  const kind = reader.u8();
  if (kind === kinds.numbers) return new Float64Array(reader.copy(8 * length));
  if (kind === kinds.offsets) return new BigInt64Array(reader.copy(8 * length));
  if (kind !== kinds.values) throw unknownTag('the kind of a column of metadata', kind);
  return Array.from({ length }, () => readValue(reader));
}

function readValue(reader: WireReader): ExtValue | undefined {
  const type = reader.u8();
  if (type === types.absent) return undefined;
  if (type === types.text) return reader.text().toString();
  if (type === types.number) return reader.f64();
  if (type === types.list) return reader.many(() => reader.text().toString());
  throw unknownTag('a value of metadata', type);
}
