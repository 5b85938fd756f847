import { readFileSync } from 'node:fs';
import { DuckDBInstance } from '@duckdb/node-api';
import { describe, expect, test } from 'vitest';
import { refusedFunctions, tableFunctions } from '../../src/sql/allowed.ts';
import { Database } from '../../src/sql/database.ts';

/**
 * Every function of the DuckDB that src/sql/allowed.ts was written for, by kind. When this test fails, a new DuckDB has
 * functions that nobody has looked at: read what each does, put one that reaches beyond the batch into `refusedFunctions`
 * (or one of tables that does not into `tableFunctions`), and then add it to the file.
 */
const reviewed = readFileSync(new URL('duckdb-functions.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n');

const SQL = `
  SELECT DISTINCT concat_ws(' ', CASE WHEN function_type IN ('table', 'table_macro') THEN 'table'
                                      WHEN function_type = 'aggregate' THEN 'aggregate' ELSE 'scalar' END, function_name)
  FROM duckdb_functions() WHERE function_type <> 'pragma'`;

async function functions(): Promise<string[]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const reader = await connection.runAndReadAll(SQL);
  const names = reader.getRows().map(([name]) => String(name));
  connection.closeSync();
  instance.closeSync();
  return names.toSorted();
}

describe('the functions of DuckDB', () => {
  test('have all been looked at', async () => {
    expect(await functions()).toEqual(reviewed.toSorted());
  });

  test('that are allowed or refused by name exist', async () => {
    const known = new Set(await functions());
    for (const name of tableFunctions) expect(known).toContain(`table ${name}`);
    // The last comes with the shell of DuckDB.
    for (const name of refusedFunctions) if (name !== 'getenv') expect(known).toContain(`scalar ${name}`);
  });

  test('whose bodies are SQL call none that is refused, unless they are refused themselves', async () => {
    const database = await Database.open({
      allowExternalAccess: false,
      timezone: 'UTC',
      memoryLimit: 64 * 1024 ** 2,
    });
    const connection = await database.connect();
    const reader = await connection.runAndReadAll(
      `SELECT DISTINCT function_name, macro_definition FROM duckdb_functions() WHERE function_type = 'macro'`,
    );
    const calling = reader
      .getRows()
      .map(([name, body]) => [String(name), String(body)] as const)
      .filter(([name, body]) => {
        const called = [...body.matchAll(/\b(\w+)\(/g)].map(([, word]) => word!);
        return called.some((word) => refusedFunctions.has(word)) && !refusedFunctions.has(name);
      });
    expect(calling).toEqual([]);
    connection.closeSync();
    database.close();
  });
});
