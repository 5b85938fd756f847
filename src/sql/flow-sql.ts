import type { Format } from '../message/batch.ts';
import { fieldKinds } from '../message/json-fields.ts';
import { isExact, isNested, isNumeric, typeOf, type Column } from './column.ts';
import { identifier, literal } from './database.ts';
import { ROW } from './flow-schema.ts';

/**
 * How a message's metadata gets to its rows:
 * - `none`: it does not
 * - `row`: rows carry the number of their message
 * - `columns`: as columns that the query can read
 */
export type MetadataMode = 'none' | 'row' | 'columns';

const VALUE: Column = { name: '__value__', as: '__value__', kinds: fieldKinds.STRING, shown: true };

/**
 * The SELECT that reads the batch, parameter 1: a JSON array in UTF-8, an element a message (`encodeBatch`).
 * `missing` are columns that it has not; `nullOf` gives what a column is that has no value.
 */
export function flowSql(
  columns: Iterable<Column>,
  options: {
    format: Format;
    metadata: MetadataMode;
    missing: Iterable<string>;
    nullOf: (name: string) => string;
  },
): string {
  const { format, metadata, missing, nullOf } = options;
  // Without a prototype, `__proto__` is a name like any other.
  const extracted = Object.create(null) as Record<string, string>;
  const selected: string[] = [];
  for (const column of format === 'json' ? columns : [VALUE]) {
    const type = typeOf(column);
    const as = identifier(column.as);
    if (type === undefined) {
      selected.push(`${nullOf(column.name)} AS ${as}`);
      continue;
    }
    const value = `m.${metadata === 'columns' ? 'v.' : ''}${identifier(column.name)}`;
    const [rawType, expression] =
      format === 'bytes' ? ['VARCHAR', `from_base64(${value})`] : read(column, type, value);
    extracted[column.name] = rawType;
    selected.push(`${expression} AS ${as}`);
  }
  for (const name of missing) selected.push(`${nullOf(name)} AS ${identifier(name)}`);
  let structure: unknown = Object.keys(extracted).length === 0 ? 'JSON' : extracted;
  if (metadata === 'columns') {
    structure = { v: structure, s: 'VARCHAR', t: 'BIGINT', e: 'MAP(VARCHAR,VARCHAR)' };
    selected.push('m.s AS __meta_source', 'make_timestamp(m.t) AS __meta_ingest_time', 'm.e AS __meta_ext');
  }
  if (metadata === 'row') selected.push(`i AS ${ROW}`);
  if (selected.length === 0) selected.push('NULL AS "__no_column__"');
  const array = `from_json(decode($1::BLOB), ${literal(JSON.stringify([structure]))})`;
  const messages =
    metadata === 'row'
      ? `SELECT unnest(l) AS m, generate_subscripts(l, 1) - 1 AS i FROM (SELECT ${array} AS l)`
      : `SELECT unnest(${array}) AS m`;
  return `SELECT ${selected.join(', ')} FROM (${messages})`;
}

/**
 * The type that a value is taken from JSON as, and the expression that makes it the column's. What does not convert
 * is an error: as a NULL it would pass for a field that is not there.
 */
function read(column: Column, type: string, value: string): readonly [string, string] {
  if (type === 'DOUBLE' || type === 'FLOAT') {
    const raw = isNumeric(column) ? value : convert(column, 'DOUBLE', value);
    // JSON has no infinity: what reads as one is a number too large for a double.
    const message = literal(`field ${column.name}: not a number within the range of the type ${type}`);
    const finite = `CASE WHEN isfinite(${raw}) OR ${raw} IS NULL THEN ${raw} ELSE error(${message}) END`;
    return [isNumeric(column) ? 'DOUBLE' : 'VARCHAR', type === 'FLOAT' ? `CAST(${finite} AS FLOAT)` : finite];
  }
  if (column.declared === undefined || isExact(column, type)) return [type, value];
  if (isNested(type)) return ['JSON', `from_json_strict(${value}, ${literal(JSON.stringify(type))})`];
  return ['VARCHAR', convert(column, type, value)];
}

/** As CAST, but its error names the field. */
function convert(column: Column, type: string, value: string): string {
  const before = literal(`field ${column.name}: `);
  const after = literal(` does not convert to the declared type ${type}`);
  const message = `${before} || left(${value}, 100) || ${after}`;
  return `CASE WHEN ${value} IS NULL THEN NULL ELSE coalesce(TRY_CAST(${value} AS ${type}), error(${message})) END`;
}
