import { compactJson } from './json-compact.ts';
import { scalarReader, textReader } from './row-values.ts';
import {
  innerTypes,
  type ColumnType,
  type ListValues,
  type Rows,
  type StructValues,
  type Values,
} from './rows.ts';
import { textOf } from './text.ts';

/** A DECIMAL of up to this many digits is written as the shortest number, and a larger one with all its digits. */
const DIGITS_OF_DOUBLE = 15;

/** The number of rows that are converted to text at a time. */
const ROWS_AT_A_TIME = 1000;

type Writer = (row: number) => string;

/**
 * Each row as a JSON object and a line feed, as the SQL step writes lines: NaN and infinities are null, and a BLOB is
 * base64.
 */
export function rowsToLines({ columns, length }: Rows): Buffer {
  const writers = columns.map(({ name, type, values }, index) => {
    const before = `${index === 0 ? '{' : ','}${quote(name)}:`;
    const write = type.kind === 'blob' ? base64Writer(values) : writerOf(type, values);
    return (row: number): string => before + write(row);
  });
  const end = columns.length === 0 ? '{}\n' : '}\n';
  const parts: Buffer[] = [];
  for (let start = 0; start < length; start += ROWS_AT_A_TIME) {
    let text = '';
    for (let row = start; row < length && row < start + ROWS_AT_A_TIME; row++) {
      for (const write of writers) text += write(row);
      text += end;
    }
    parts.push(Buffer.from(text));
  }
  return Buffer.concat(parts);
}

function writerOf(type: ColumnType, values: Values): Writer {
  const { valid } = values;
  const write = notNull(type, values);
  return valid === undefined ? write : (row) => (valid[row] === 0 ? 'null' : write(row));
}

const INTEGER = /^u?(tiny|small|big|huge)int$|^u?integer$/;

function notNull(type: ColumnType, values: Values): Writer {
  if (values.storage === 'struct') return structWriter(type, values);
  if (values.storage === 'list')
    return type.kind === 'map' ? mapWriter(type, values) : listWriter(type, values);
  if (type.kind === 'json' && values.storage === 'bytes') {
    const { data, offsets } = values;
    return (row) => textOf(compactJson(data.subarray(offsets[row], offsets[row + 1])));
  }
  const isShort = type.kind === 'decimal' && type.width <= DIGITS_OF_DOUBLE;
  if (isShort || type.kind === 'float' || type.kind === 'double') {
    const read = scalarReader(type, values);
    return (row) => numberText(Number(read(row)));
  }
  if (type.kind === 'decimal' || type.kind === 'boolean' || INTEGER.test(type.kind)) {
    const read = scalarReader(type, values);
    return (row) => String(read(row));
  }
  const read = textReader(type, values);
  return (row) => quote(read(row));
}

function base64Writer(values: Values): Writer {
  if (values.storage !== 'bytes') throw new TypeError('a BLOB is kept as bytes');
  const { data, offsets, valid } = values;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  return (row) =>
    valid?.[row] === 0 ? 'null' : `"${bytes.toString('base64', offsets[row], offsets[row + 1])}"`;
}

function structWriter(type: ColumnType, values: StructValues): Writer {
  const names = type.kind === 'struct' ? type.fields.map(({ name }) => name) : [];
  const fields = innerTypes(type).map((each, index) => {
    const before = `${index === 0 ? '' : ','}${quote(names[index]!)}:`;
    const write = writerOf(each, values.fields[index]!);
    return (row: number): string => before + write(row);
  });
  return (row) => {
    let text = '{';
    for (const write of fields) text += write(row);
    return `${text}}`;
  };
}

function listWriter(type: ColumnType, { offsets, items }: ListValues): Writer {
  const write = writerOf(innerTypes(type)[0]!, items[0]!);
  return (row) => {
    const start = offsets[row]!;
    let text = '[';
    for (let item = start; item < offsets[row + 1]!; item++)
      text += (item === start ? '' : ',') + write(item);
    return `${text}]`;
  };
}

function mapWriter(type: ColumnType, { offsets, items }: ListValues): Writer {
  const [keyType, valueType] = innerTypes(type);
  const key = textReader(keyType!, items[0]!);
  const value = writerOf(valueType!, items[1]!);
  return (row) => {
    const start = offsets[row]!;
    let text = '{';
    for (let item = start; item < offsets[row + 1]!; item++)
      text += `${item === start ? '' : ','}${quote(key(item))}:${value(item)}`;
    return `${text}}`;
  };
}

/** A number that may have a fraction, as DuckDB writes it: always with a point, or an exponent without a plus. */
function numberText(value: number): string {
  if (!Number.isFinite(value)) return 'null';
  if (Object.is(value, -0)) return '-0.0';
  const text = String(value);
  if (text.includes('e')) return text.replace('e+', 'e');
  return text.includes('.') ? text : `${text}.0`;
}

/** Text as DuckDB quotes it: digits above 9 in escapes are capitals. */
function quote(text: string): string {
  const quoted = JSON.stringify(text);
  if (!quoted.includes('\\u00')) return quoted;
  return quoted.replaceAll(/\\(?:u[\da-f]{4}|.)/g, (escape) =>
    escape.length > 2 ? `\\u${escape.slice(2).toUpperCase()}` : escape,
  );
}
