import type { DuckDBConnection } from '@duckdb/node-api';
import { fold, identifier, literal } from './database.ts';
import type { Insert, Text } from './statements.ts';

/** The rows to insert, and a column that numbers those of one key. */
const ROWS = '__millrace_rows__';
const ROUND = '__millrace_round__';

/**
 * An INSERT that changes the row which has the key already. DuckDB takes only the first of several rows with one key, so
 * these are inserted one after the other, in the order of the batch.
 */
export class Upsert {
  readonly #fill: readonly string[];
  readonly #keys: string;
  readonly #insert: (where: string) => string;
  readonly #replaces: boolean;

  private constructor(
    fill: readonly string[],
    keys: string,
    insert: (where: string) => string,
    replaces: boolean,
  ) {
    this.#fill = fill;
    this.#keys = keys;
    this.#insert = insert;
    this.#replaces = replaces;
  }

  /** Undefined if the table has no key of these columns, of which DuckDB tells better. @throws the database's error */
  static async prepare(
    connection: DuckDBConnection,
    table: string,
    { head, columns, byName, source, conflict, keys, onConflict }: Insert,
    write: (text: Text) => string,
  ): Promise<Upsert | undefined> {
    const given = write([source]);
    const inserted = columns ?? (byName ? await columnsOfQuery(connection, given) : undefined);
    const names = inserted ?? (await columnsOfTable(connection, table));
    const key = keys ?? (await keyOf(connection, table));
    const folded = new Set(names.map(fold));
    if (key === undefined || !key.every((name) => folded.has(fold(name)))) return undefined;
    const list = names.map(identifier).join(', ');
    const partition = key.map(identifier).join(', ');
    return new Upsert(
      [
        `CREATE TEMP TABLE ${ROWS} AS SELECT ${list} FROM ${identifier(table)} LIMIT 0`,
        `INSERT INTO ${ROWS} ${byName ? 'BY NAME ' : ''}${given}`,
      ],
      partition,
      (where) =>
        `${write([head])} (${list}) SELECT ${list} FROM (
           SELECT *, row_number() OVER (PARTITION BY ${partition} ORDER BY rowid) AS ${ROUND},
             count(*) OVER (PARTITION BY ${partition}) AS ${ROUND}s FROM ${ROWS} ORDER BY rowid
         ) WHERE ${where} ${conflict === undefined ? '' : write([conflict])}`,
      onConflict === 'replaces',
    );
  }

  async run(connection: DuckDBConnection): Promise<void> {
    for (const statement of this.#fill) await connection.run(statement);
    const most = await connection.runAndReadAll(
      `SELECT max(n) FROM (SELECT count(*) AS n FROM ${ROWS} GROUP BY ${this.#keys})`,
    );
    const rounds = Number(most.getRows()[0]?.[0] ?? 0);
    if (this.#replaces && rounds > 1) {
      // The last row writes everything that a row in between would.
      await connection.run(this.#insert(`${ROUND} = 1`));
      await connection.run(this.#insert(`${ROUND} = ${ROUND}s AND ${ROUND} > 1`));
    } else
      for (let round = 1; round <= rounds; round++) await connection.run(this.#insert(`${ROUND} = ${round}`));
    await connection.run(`DROP TABLE ${ROWS}`);
  }
}

async function columnsOfQuery(connection: DuckDBConnection, query: string): Promise<string[]> {
  const prepared = await connection.prepare(query);
  const names = Array.from({ length: prepared.columnCount }, (_, index) => prepared.columnName(index));
  prepared.destroySync();
  return names;
}

async function columnsOfTable(connection: DuckDBConnection, table: string): Promise<string[]> {
  const reader = await connection.runAndReadAll(
    `SELECT column_name FROM duckdb_columns() WHERE lower(table_name) = ${literal(fold(table))} ORDER BY column_index`,
  );
  return reader.getRows().map(([name]) => String(name));
}

/** The columns of the table's only key. */
async function keyOf(connection: DuckDBConnection, table: string): Promise<string[] | undefined> {
  const reader = await connection.runAndReadAll(
    `SELECT CAST(to_json(constraint_column_names) AS VARCHAR) FROM duckdb_constraints()
     WHERE lower(table_name) = ${literal(fold(table))} AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')`,
  );
  const all = reader.getRows();
  return all.length === 1 ? (JSON.parse(String(all[0]![0])) as string[]) : undefined;
}
