import { quoted } from '../../../clients/postgres/names.ts';

/** A column of a table. */
export interface Column {
  readonly name: string;
  /** As PostgreSQL writes it. */
  readonly type: string;
  /** Whether it has a value of its own where a row gives none. */
  readonly hasDefault: boolean;
}

/** A table as it is in the database. */
export interface Table {
  /** As it stands in SQL. */
  readonly name: string;
  readonly columns: readonly Column[];
  readonly byName: ReadonlyMap<string, number>;
}

export function tableOf(name: string, columns: readonly Column[]): Table {
  return { name, columns, byName: new Map(columns.map((column, index) => [column.name, index])) };
}

/** The question for the columns of a table; `$1` is its name in SQL. No rows: there is none. */
export const COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  a.atthasdef OR a.attidentity <> '' AS has_default
FROM pg_attribute a
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum`;

/** How to insert rows. */
export interface InsertOptions {
  readonly onConflict: 'error' | 'ignore' | 'update';
  readonly keys: readonly string[] | undefined;
  /** Whether every value is given as text, also those of JSON columns. */
  readonly isText: boolean;
}

/**
 * The statement that inserts a JSON array of objects, `$1`, into these columns of the table: one for any number of rows,
 * typed by PostgreSQL itself, so that every digit stays.
 */
export function insertStatement(
  table: Table,
  columns: readonly Column[],
  { onConflict, keys, isText }: InsertOptions,
): string {
  const names = columns.map(({ name }) => quoted(name)).join(', ');
  const declared = columns.map((column) => `${quoted(column.name)} ${givenType(column, isText)}`).join(', ');
  const values = columns.map((column) => valueOf(column, isText)).join(', ');
  const key = keys?.map(quoted).join(', ');
  const rows = `FROM ROWS FROM (json_to_recordset($1::json) AS (${declared}))`;
  if (onConflict !== 'update') {
    const conflict =
      onConflict === 'error' ? '' : `ON CONFLICT ${key === undefined ? '' : `(${key}) `}DO NOTHING`;
    return `INSERT INTO ${table.name} (${names}) SELECT ${values} ${rows} AS r(${names}) ${conflict}`;
  }
  const set = columns
    .filter(({ name }) => !keys!.includes(name))
    .map(({ name }) => `${quoted(name)} = EXCLUDED.${quoted(name)}`)
    .join(', ');
  const action = set === '' ? 'DO NOTHING' : `DO UPDATE SET ${set}`;
  // Of several rows with one key, the last counts: one statement updates a row once.
  return `INSERT INTO ${table.name} (${names}) SELECT ${values} FROM (SELECT DISTINCT ON (${key}) * ${rows} WITH ORDINALITY AS r(${names}, "millrace ordinality") ORDER BY ${key}, "millrace ordinality" DESC) AS r ON CONFLICT (${key}) ${action}`;
}

function isJson({ type }: Column): boolean {
  return type === 'json' || type === 'jsonb';
}

function givenType(column: Column, isText: boolean): string {
  return column.type === 'bytea' || (isText && isJson(column)) ? 'text' : column.type;
}

/** Bytes are base64, as everywhere in JSON that Millrace makes, or what PostgreSQL itself writes: \\x and hexadecimal digits. */
function valueOf(column: Column, isText: boolean): string {
  const name = `r.${quoted(column.name)}`;
  if (column.type === 'bytea')
    return `CASE WHEN ${name} LIKE '\\\\x%' THEN ${name}::bytea ELSE decode(${name}, 'base64') END`;
  return isText && isJson(column) ? `${name}::${column.type}` : name;
}

/** The statement that creates a table. */
export function createStatement(
  name: string,
  columns: readonly Pick<Column, 'name' | 'type'>[],
  keys: readonly string[] | undefined,
): string {
  const parts = columns.map((column) => `${quoted(column.name)} ${column.type}`);
  if (keys !== undefined) parts.push(`PRIMARY KEY (${keys.map(quoted).join(', ')})`);
  return `CREATE TABLE IF NOT EXISTS ${name} (${parts.join(', ')})`;
}
