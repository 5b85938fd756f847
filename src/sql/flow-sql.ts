import type { Format } from '../message/batch.ts';
import { fieldKinds } from '../message/json-fields.ts';
import { isExact, isNested, isNumeric, typeOf, type Column } from './column.ts';
import { identifier, literal } from './database.ts';
import { metadataColumns, metadataStructure, ROW } from './metadata.ts';

/**
 * How a message's metadata gets to its rows:
 * - `none`: it does not
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
   * Whether the rows are those that a probe looks at: nothing in them fails, and they have two columns more, `__row__`
   * and `__fault__`: what is wrong with a value of the message, or null.
   */
  readonly probe?: boolean;
  /** Whether rows carry the number of their message, whatever becomes of its metadata. */
  readonly numbered?: boolean;
}

/**
 * The SELECT that reads the batch, parameter 1: a JSON array in UTF-8, an element a message (`encodeBatch`).
 * `missing` are columns that it has not; `nullOf` gives what a column is that has no value.
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
  /** The type that the value is taken from JSON as. */
  readonly raw: string;
  /** What makes it the column's; what does not convert is an error: as a NULL it would pass for a field that is not there. */
  readonly strict: string;
  /** The same, but NULL where that is an error; undefined where it never is. */
  readonly lenient?: string;
  /** What is wrong with it, as text that names the field, or NULL. */
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

/** JSON has no infinity: what reads as one is a number too large for a double. */
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
