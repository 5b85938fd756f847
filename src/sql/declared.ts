import { sqlErrors } from './sql-errors.ts';
import type { DuckDBConnection, DuckDBType } from '@duckdb/node-api';
import { MillraceError, errorMessage } from '../errors.ts';
import type { ColumnType } from '../message/rows.ts';
import { fold, literal } from './database.ts';
import type { Declared } from './column.ts';
import { isReserved } from './flow-schema.ts';

/**
 * The types that the user declared.
 * @throws MillraceError MILLRACE_SQL_INVALID (fatal) for a text that is not a type; the text never becomes part of any
 * SQL
 */
export async function readDeclared(
  connection: DuckDBConnection,
  schema: Readonly<Record<string, string>>,
  typeOf: (type: DuckDBType) => ColumnType | undefined,
): Promise<Map<string, Declared>> {
  const declared = new Map<string, Declared>();
  const seen = new Set<string>();
  for (const [name, type] of Object.entries(schema)) {
    const invalid = (message: string, cause?: unknown): MillraceError =>
      new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, `${name}: ${message}`, {
        cause,
        fatal: true,
        field: 'schema',
      });
    if (isReserved(fold(name))) throw invalid('this is the name of a metadata column');
    if (seen.has(fold(name)))
      throw invalid('the name occurs twice: SQL does not distinguish upper and lower case');
    if (name.includes('\0')) throw invalid('a column’s name cannot contain a NUL');
    seen.add(fold(name));
    const sql = `SELECT typeof(v), v FROM (SELECT from_json('null', ${literal(JSON.stringify(type))}) AS v)`;
    const known = await connection.runAndReadAll(sql).catch((error: unknown) => {
      throw invalid(errorMessage(error).replace(/ (Possible examples|LINE \d+:).*/, ''), error);
    });
    const canonical = String(known.getRows()[0]?.[0]);
    if (canonical === '"NULL"') throw invalid('NULL is not a type for a column');
    declared.set(name, { sql: canonical, type: typeOf(known.columnType(1)) });
  }
  return declared;
}
