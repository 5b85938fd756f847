import { describeFault, isChanged, isNoTable, isOfRows } from '../../../clients/postgres/faults.ts';
import type { PostgresConfig } from '../../../clients/postgres/fields.ts';
import { PostgresLink } from '../../../clients/postgres/link.ts';
import { quoted, quotedTable } from '../../../clients/postgres/names.ts';
import type { SqlLink } from '../../../clients/tables/sql-link.ts';
import type { Column, Dialect, InsertOptions, Table } from '../../../clients/tables/table.ts';
import { joinJsonArray } from '../../../message/json.ts';

/** The question for the columns of a table; `$1` is its name in SQL. No rows: there is none. */
const COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  a.atthasdef OR a.attidentity <> '' AS has_default
FROM pg_attribute a
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum`;

/**
 * The statement that inserts a JSON array of objects, `$1`, into these columns of the table: one for any number of rows,
 * typed by PostgreSQL itself, so that every digit stays.
 */
function insertStatement(
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

async function columnsOf(name: string, link: SqlLink, signal: AbortSignal): Promise<Column[]> {
  try {
    const { rows } = await link.query(COLUMNS, [quotedTable(name)], signal);
    return rows.map((row) => ({
      name: String(row['name']),
      type: String(row['type']),
      hasDefault: row['has_default'] === true,
    }));
  } catch (error) {
    if (isNoTable(error)) return [];
    throw error;
  }
}

/** How PostgreSQL takes rows. */
export const postgresDialect: Dialect<PostgresConfig> = {
  open: async (config, context, signal) => await PostgresLink.open(config, context, signal),
  type: (type) => (type === 'json' ? 'jsonb' : type),
  tableOptions: '',
  quoted,
  columns: columnsOf,
  inserter(table, columns, options) {
    const text = insertStatement(table, columns, options);
    return (rows) => ({ text, values: [joinJsonArray(rows)] });
  },
  batches: {
    open: [
      'CREATE TABLE IF NOT EXISTS millrace_batches (id text PRIMARY KEY, written timestamptz NOT NULL DEFAULT now())',
      "DELETE FROM millrace_batches WHERE written < now() - interval '7 days'",
    ],
    keep: 'INSERT INTO millrace_batches (id) VALUES ($1) ON CONFLICT DO NOTHING',
  },
  immediate: 'SET CONSTRAINTS ALL IMMEDIATE',
  isOfRows,
  isChanged,
  describe: describeFault,
};
