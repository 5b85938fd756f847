import { sqlErrors } from './sql-errors.ts';
import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError } from '../errors.ts';
import { fold } from './database.ts';
import type { Node } from './syntax-node.ts';

/**
 * The table functions that read only their arguments. All others are refused: they read files, settings, logs or
 * DuckDB's internal state, change how it runs, or run SQL from a string, which is not checked here.
 */
export const tableFunctions: ReadonlySet<string> = new Set([
  'generate_series',
  'icu_calendar_names',
  'json_each',
  'json_tree',
  'pg_timezone_names',
  'range',
  'repeat',
  'repeat_row',
  'summary',
  'test_all_types',
  'test_vector_types',
  'unnest',
]);

/**
 * Scalar functions that do more than compute a value: they write to the log, read settings or the query, or plan SQL.
 */
export const refusedFunctions: ReadonlySet<string> = new Set([
  'current_query',
  'current_setting',
  'getenv',
  'json_serialize_plan',
  'write_log',
]);

/**
 * Refuses functions that reach beyond the batch, and DuckDB's own tables; not those that `setup` has made (`own`).
 * @throws MillraceError MILLRACE_SQL_INVALID (fatal)
 */
export async function refuseOutside(
  connection: DuckDBConnection,
  root: Node,
  tableName: string,
  own: ReadonlySet<string>,
): Promise<void> {
  const tables = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) return value.forEach(visit);
    const node = value as Node;
    const name = fold(String(node['function_name']));
    if (refusedFunctions.has(name)) throw refused(`the function ${name}`);
    if (node['type'] === 'TABLE_FUNCTION') {
      const called = fold(String((node['function'] as Node | undefined)?.['function_name']));
      if (!tableFunctions.has(called) && !own.has(called)) throw refused(`the table function ${called}`);
    }
    if (node['type'] === 'BASE_TABLE') {
      const table = fold(String(node['table_name']));
      if (node['schema_name'] !== '' || node['catalog_name'] !== '') throw refused(`the table ${table}`);
      if (table !== fold(tableName)) tables.add(table);
    }
    Object.values(node).forEach(visit);
  };
  visit(root);
  if (tables.size === 0) return;
  const views = await connection.runAndReadAll('SELECT view_name FROM duckdb_views()');
  for (const [view] of views.getRows())
    if (tables.has(String(view)) && !own.has(fold(String(view)))) throw refused(`the table ${String(view)}`);
}

function refused(what: string): MillraceError {
  return new MillraceError(
    sqlErrors.MILLRACE_SQL_INVALID,
    `${what} reaches beyond the batch; the query may use it only with \`allow_external_access: true\``,
    { fatal: true, field: 'query' },
  );
}
