import type { Format } from '../message/batch.ts';
import { fieldKinds } from '../message/json-kinds.ts';
import { isExact, isNested, isNumeric, typeOf, type Column } from './column.ts';
import { identifier, literal } from './database.ts';
import { metadataColumns, metadataStructure, ROW } from './metadata.ts';

/**
 * How a message's metadata reaches its rows:
 * - `none`: not at all
 * - `row`: rows carry the number of their message
 * - `columns`: as columns that the query can read
 */
export type MetadataMode = 'none' | 'row' | 'columns';

const VALUE: Column = { name: '__value__', as: '__value__', kinds: fieldKinds.STRING, shown: true };

export interface FlowOptions {
  readonly metadata: MetadataMode;
  readonly missing: Iterable<string>;
  readonly nullOf: (name: string) => string;
  /**
   * True if a probe looks at the rows: nothing in them fails, and they have two more columns, `__row__` and
   * `__fault__`: what is wrong with a value of the message, or null.
   */
  readonly probe?: boolean;
  /** True if rows carry the number of their message, with or without its metadata. */
  readonly numbered?: boolean;
}

/**
 * The SELECT that reads the batch, parameter 1: a JSON array in UTF-8 with an element for each message (`encodeBatch`).
 * `missing` are columns that the batch lacks; `nullOf` gives the SQL of a column without a value.
 */
export function flowSql(columns: Iterable<Column>, format: Format, options: FlowOptions): string {
  const { metadata, missing, nullOf, probe = false } = options;
  // Without a prototype, `__proto__` is a name like any other.
  const extracted = Object.create(null) as Record<string, string>;
  const selected: string[] = [];
  const faults: string[] = [];
  for (const column of format === 'json' ? columns : [VALUE]) {
    const type = typeOf(column);
    const as = identifier(column.as);
    if (type === undefined) {
      selected.push(`${nullOf(column.name)} AS ${as}`);
      continue;
    }
    const value = `m.${metadata === 'columns' ? 'v.' : ''}${identifier(column.name)}`;
    const { raw, strict, lenient, fault } =
      format === 'bytes' ? { raw: 'VARCHAR', strict: `from_base64(${value})` } : read(column, type, value);
    extracted[column.name] = raw;
    selected.push(`${probe ? (lenient ?? strict) : strict} AS ${as}`);
    if (fault !== undefined) faults.push(fault);
  }
  for (const name of missing) selected.push(`${nullOf(name)} AS ${identifier(name)}`);
  let structure: unknown = Object.keys(extracted).length === 0 ? 'JSON' : extracted;
  if (metadata === 'columns') {
    structure = { v: structure, ...metadataStructure };
    selected.push(...metadataColumns('m'));
  }
  if (probe) selected.push(`coalesce(${[...faults, 'NULL'].join(', ')}) AS __fault__`);
  const numbered = probe || metadata === 'row' || options.numbered === true;
  if (numbered) selected.push(`i AS ${ROW}`);
  if (selected.length === 0) selected.push('NULL AS "__no_column__"');
  const array = `from_json(decode($1::BLOB), ${literal(JSON.stringify([structure]))})`;
  const messages = numbered
    ? `SELECT unnest(l) AS m, generate_subscripts(l, 1) - 1 AS i FROM (SELECT ${array} AS l)`
    : `SELECT unnest(${array}) AS m`;
  return `SELECT ${selected.join(', ')} FROM (${messages})`;
}

interface Reading {
  /** The type as which the value is taken from JSON. */
  readonly raw: string;
  /** Converts it to the column's type. A failing conversion is an error: a NULL would look like an absent field. */
  readonly strict: string;
  /** The same, but NULL instead of an error; undefined if it never fails. */
  readonly lenient?: string;
  /** The fault of the value, as text that names the field, or NULL. */
  readonly fault?: string;
}

function read(column: Column, type: string, value: string): Reading {
  if (type === 'DOUBLE' || type === 'FLOAT') return readDouble(column, type, value);
  if (column.declared === undefined || isExact(column, type)) return { raw: type, strict: value };
  const failure = `${literal(`field ${column.name}: `)} || left(${value}, 100) || ${literal(` does not convert to the declared type ${type}`)}`;
  if (isNested(type)) {
    const strict = `from_json_strict(${value}, ${literal(JSON.stringify(type))})`;
    const fault = `CASE WHEN ${value} IS NOT NULL AND TRY((${strict}) IS NULL) IS NULL THEN ${failure} END`;
    return { raw: 'JSON', strict, lenient: `TRY(${strict})`, fault };
  }
  const lenient = `TRY_CAST(${value} AS ${type})`;
  return {
    raw: 'VARCHAR',
    strict: `CASE WHEN ${value} IS NULL THEN NULL ELSE coalesce(${lenient}, error(${failure})) END`,
    lenient,
    fault: `CASE WHEN ${value} IS NOT NULL AND ${lenient} IS NULL THEN ${failure} END`,
  };
}

/** JSON has no infinity: a number that reads as one is too large for a double. */
function readDouble(column: Column, type: string, value: string): Reading {
  const before = `field ${column.name}: `;
  const range = literal(`${before}not a number within the range of the type ${type}`);
  const text = !isNumeric(column);
  const number = text ? `TRY_CAST(${value} AS DOUBLE)` : value;
  const failure = text
    ? `CASE WHEN ${number} IS NULL THEN ${literal(before)} || left(${value}, 100) || ${literal(' does not convert to the declared type DOUBLE')} ELSE ${range} END`
    : range;
  const fine = text ? `${value} IS NULL OR isfinite(${number})` : `isfinite(${number}) OR ${number} IS NULL`;
  const cast = (expression: string): string =>
    type === 'FLOAT' ? `CAST(${expression} AS FLOAT)` : expression;
  return {
    raw: text ? 'VARCHAR' : 'DOUBLE',
    strict: cast(`CASE WHEN ${fine} THEN ${number} ELSE error(${failure}) END`),
    lenient: `TRY(${cast(`CASE WHEN isfinite(${number}) THEN ${number} END`)})`,
    fault: `CASE WHEN ${fine} THEN NULL ELSE ${failure} END`,
  };
}
