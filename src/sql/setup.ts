import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError } from '../errors.ts';
import { defineFunctionsIn } from './datafusion/macros.ts';
import { explain } from './explain.ts';
import { sqlErrors } from './sql-errors.ts';

/**
 * Runs the user’s statements before the first batch. @returns the folded names of the functions and views they make
 * @throws MillraceError MILLRACE_SQL_INVALID (fatal)
 */
export async function runSetup(connection: DuckDBConnection, setup: string): Promise<ReadonlySet<string>> {
  await defineFunctionsIn(connection, setup);
  const before = await namesOf(connection);
  try {
    await connection.run(setup);
  } catch (error) {
    throw invalid(explain(error), error);
  }
  const temporary = await connection.runAndReadAll(
    'SELECT table_name FROM duckdb_tables() WHERE temporary UNION ALL SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal',
  );
  const [row] = temporary.getRows();
  if (row !== undefined)
    throw invalid(`${String(row[0])} is temporary, so queries cannot see it; expected CREATE without TEMP`);
  return (await namesOf(connection)).difference(before);
}

async function namesOf(connection: DuckDBConnection): Promise<Set<string>> {
  const made = await connection.runAndReadAll(
    `SELECT lower(function_name) FROM duckdb_functions() WHERE NOT internal
     UNION ALL SELECT lower(view_name) FROM duckdb_views() WHERE NOT internal`,
  );
  return new Set(made.getRows().map(([name]) => String(name)));
}

function invalid(message: string, cause?: unknown): MillraceError {
  return new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, message, { cause, fatal: true, field: 'setup' });
}
