import { describeFault, isChanged, isOfRows } from '../../../clients/mysql/faults.ts';
import type { MysqlConfig } from '../../../clients/mysql/fields.ts';
import { MysqlLink } from '../../../clients/mysql/link.ts';
import type { JsonType } from '../../../clients/tables/infer.ts';
import type { SqlLink } from '../../../clients/tables/sql-link.ts';
import type { Column, Dialect, InsertOptions, Inserter, Table } from '../../../clients/tables/table.ts';
import { eachMember } from '../../../message/json.ts';
import { textOf, unquote } from '../../../message/text.ts';
import { kindOf, literal } from './literal.ts';

const TYPES: Readonly<Record<JsonType, string>> = {
  bigint: 'BIGINT',
  numeric: 'DECIMAL(65,30)',
  boolean: 'BOOLEAN',
  json: 'JSON',
  text: 'LONGTEXT',
};

/** MariaDB says NULL for the default of a column that may be NULL. */
const COLUMNS = `
SELECT COLUMN_NAME AS name, DATA_TYPE AS type,
  COALESCE(COLUMN_DEFAULT, 'NULL') <> 'NULL' OR EXTRA LIKE '%auto_increment%' AS has_default
FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? AND COALESCE(GENERATION_EXPRESSION, '') = ''
ORDER BY ORDINAL_POSITION`;

/** In MariaDB, a column of JSON is a text with a constraint. The comment is for MariaDB alone. */
const JSON_COLUMNS = `
SELECT CHECK_CLAUSE AS clause /*M! , TABLE_NAME AS of_table */ FROM information_schema.CHECK_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA = COALESCE(?, DATABASE()) AND CHECK_CLAUSE LIKE 'json_valid(%'`;

function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

async function columnsOf(name: string, link: SqlLink, signal: AbortSignal): Promise<Column[]> {
  const dot = name.indexOf('.');
  const database = dot < 0 ? null : name.slice(0, dot);
  const table = name.slice(dot + 1);
  const { rows } = await link.query(COLUMNS, [database, table], signal);
  if (rows.length === 0) return [];
  const constraints = await link.query(JSON_COLUMNS, [database], signal);
  const own = constraints.rows.filter((row) => row['of_table'] === table);
  const json = new Set(own.map((row) => row['clause']));
  return rows.map((row) => {
    const column = String(row['name']);
    const type = json.has(`json_valid(${quoted(column)})`) ? 'json' : String(row['type']);
    return { name: column, type, hasDefault: Number(row['has_default']) === 1 };
  });
}

function inserter(table: Table, columns: readonly Column[], options: InsertOptions): Inserter {
  const kinds = columns.map(({ type }) => kindOf(type));
  const places = new Map<string, number>(columns.map(({ name }, at) => [name, at]));
  const head = `INSERT INTO ${table.name} (${columns.map(({ name }) => quoted(name)).join(', ')}) VALUES `;
  const tail = conflictClause(columns, options);
  const rowOf = (row: Uint8Array): string => {
    const values = kinds.map(() => 'NULL');
    eachMember(row, (start, nameEnd, valueStart, end) => {
      const at = places.get(unquote(textOf(row, start, nameEnd)));
      if (at !== undefined) values[at] = literal(textOf(row, valueStart, end), kinds[at]!, options.isText);
    });
    return `(${values.join(',')})`;
  };
  return (rows) => ({ text: head + rows.map(rowOf).join(',') + tail, values: [] });
}

function conflictClause(columns: readonly Column[], { onConflict, keys }: InsertOptions): string {
  if (onConflict === 'error') return '';
  const changed = onConflict === 'update' ? columns.filter(({ name }) => !keys!.includes(name)) : [];
  const set = changed.map(({ name }) => `${quoted(name)} = VALUES(${quoted(name)})`);
  const [first] = columns;
  // Not INSERT IGNORE, which makes wrong values fit.
  if (set.length === 0) set.push(`${quoted(first!.name)} = ${quoted(first!.name)}`);
  return ` ON DUPLICATE KEY UPDATE ${set.join(', ')}`;
}

/** How MySQL and MariaDB take rows: as literals, because MySQL's JSON_TABLE reads numbers as doubles. */
export const mysqlDialect: Dialect<MysqlConfig> = {
  open: async (config, context, signal) => await MysqlLink.open(config, context, signal),
  type: (type, isKey) => (isKey && type === 'text' ? 'VARCHAR(255)' : TYPES[type]),
  tableOptions: 'ENGINE InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
  quoted,
  columns: columnsOf,
  inserter,
  batches: {
    open: [
      'CREATE TABLE IF NOT EXISTS millrace_batches (id VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, written DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE InnoDB',
      'DELETE FROM millrace_batches WHERE written < UTC_TIMESTAMP() - INTERVAL 7 DAY',
    ],
    keep: 'INSERT IGNORE INTO millrace_batches (id) VALUES (?)',
  },
  isOfRows,
  isChanged,
  describe: describeFault,
};
