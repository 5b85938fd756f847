import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError, errorMessage } from '../errors.ts';
import { plural } from '../plural.ts';
import { fold, identifier, literal } from './database.ts';
import { explain } from './explain.ts';
import { sqlErrors } from './sql-errors.ts';
import type { TablePosition } from './state-checkpoints.ts';

export interface StateOptions {
  /** The columns of each table with their types, or its `CREATE TABLE`. */
  readonly tables: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  /** How much memory they may take, in bytes. */
  readonly maxBytes: number;
}

/** The memory that DuckDB counts for tables, in blocks of 256 KiB. */
const USED = `SELECT CAST(coalesce(sum(memory_usage_bytes), 0) AS DOUBLE) FROM duckdb_memory()
  WHERE tag IN ('BASE_TABLE', 'IN_MEMORY_TABLE', 'ART_INDEX', 'OVERFLOW_STRINGS')`;

/** The name of a file of tables while it is attached. */
const FILE = '__millrace_state__';

/** Tables are rewritten when they have grown to twice their size without deleted rows, and this much more. Bytes. */
const LEAST_GROWTH = 4 * 1024 * 1024;

/** Tables that a query reads and changes, and that stay from one batch to the next. */
export class StateTables {
  /** Folded. */
  readonly names: ReadonlySet<string>;
  /** Folded names of their columns. */
  readonly columns: ReadonlySet<string>;
  /** The `CREATE TABLE` of each. */
  readonly #definitions: ReadonlyMap<string, string>;
  readonly #maxBytes: number;
  /** The memory of other tables. */
  #others = 0;
  /** Their size when it was last looked at, and twice their size when they had just been rewritten. */
  #bytes = 0;
  #compact = 0;

  private constructor(
    definitions: ReadonlyMap<string, string>,
    columns: ReadonlySet<string>,
    maxBytes: number,
  ) {
    this.columns = columns;
    this.#definitions = definitions;
    this.#maxBytes = maxBytes;
    this.names = new Set([...definitions.keys()].map(fold));
  }

  /** @throws MillraceError MILLRACE_SQL_INVALID (fatal) for a table that cannot be */
  static async create(connection: DuckDBConnection, options?: StateOptions): Promise<StateTables> {
    const definitions = new Map<string, string>();
    for (const [name, definition] of Object.entries(options?.tables ?? {})) {
      const sql = typeof definition === 'string' ? definition : fromColumns(name, definition);
      definitions.set(name, await define(connection, name, sql));
    }
    if (definitions.size === 0) return new StateTables(definitions, new Set(), 0);
    const columns = await columnsOf(connection, [...definitions.keys()]);
    const tables = new StateTables(definitions, columns, options!.maxBytes);
    tables.#others = await usedBy(connection);
    return tables;
  }

  /**
   * Call it before a transaction is committed.
   * @throws MillraceError MILLRACE_SQL_STATE_TOO_LARGE if the tables have become too large
   */
  async check(connection: DuckDBConnection): Promise<void> {
    if (this.names.size === 0) return;
    this.#bytes = await this.#measure(connection);
    if (this.#bytes <= this.#maxBytes) return;
    const message = `the tables of \`state\` would take ${this.#bytes} bytes of memory, and \`max_state_bytes\` is ${this.#maxBytes}; delete rows that are no longer needed, or allow more`;
    throw new MillraceError(sqlErrors.MILLRACE_SQL_STATE_TOO_LARGE, message);
  }

  /**
   * Call it after a transaction, with the least growth in bytes that counts. Rewrites the tables, because DuckDB keeps
   * the place of deleted rows in memory. @returns whether it did
   */
  async compact(connection: DuckDBConnection, least = LEAST_GROWTH): Promise<boolean> {
    if (this.#bytes <= this.#compact + least) return false;
    await connection.run('BEGIN');
    for (const [name, definition] of this.#definitions) {
      const table = identifier(name);
      const copy = identifier(`__millrace_copy_of_${name}`);
      await connection.run(
        `CREATE TEMP TABLE ${copy} AS FROM ${table}; DROP TABLE ${table}; ${definition};
         INSERT INTO ${table} FROM ${copy}; DROP TABLE ${copy}`,
      );
    }
    await connection.run('COMMIT');
    this.#bytes = await this.#measure(connection);
    this.#compact = this.#bytes * 2;
    return true;
  }

  /** Writes the tables into a new file. */
  async save(connection: DuckDBConnection, path: string, { log, entry }: TablePosition): Promise<void> {
    await connection.run(`ATTACH ${literal(path)} AS ${FILE} (BLOCK_SIZE 16384)`);
    try {
      await connection.run(
        `CREATE SCHEMA ${FILE}.millrace;
         CREATE TABLE ${FILE}.millrace.position AS SELECT ${literal(log)} AS log, ${entry}::BIGINT AS entry`,
      );
      for (const name of this.#definitions.keys())
        await connection.run(`CREATE TABLE ${FILE}.main.${identifier(name)} AS FROM ${identifier(name)}`);
      await connection.run(`CHECKPOINT ${FILE}`);
    } finally {
      await connection.run(`DETACH ${FILE}`);
    }
  }

  /**
   * Fills the tables from a file. A column that the file lacks gets its default.
   * @returns the position that the file was saved with @throws the database's error
   */
  async load(connection: DuckDBConnection, path: string): Promise<TablePosition> {
    await connection.run(`ATTACH ${literal(path)} AS ${FILE} (READ_ONLY)`);
    try {
      const position = await connection.runAndReadAll(`SELECT log, entry FROM ${FILE}.millrace.position`);
      const stored = await connection.runAndReadAll(
        `SELECT table_name, CAST(to_json(list(column_name)) AS VARCHAR) FROM duckdb_columns()
         WHERE database_name = ${literal(FILE)} AND schema_name = 'main' GROUP BY table_name`,
      );
      for (const [name, columns] of stored.getRows())
        await this.#fill(connection, String(name), JSON.parse(String(columns)) as string[]);
      this.#bytes = await this.#measure(connection);
      this.#compact = this.#bytes * 2;
      const [log, entry] = position.getRows()[0]!;
      return { log: String(log), entry: Number(entry) };
    } finally {
      await connection.run(`DETACH ${FILE}`);
    }
  }

  /** @throws Error if rows or values of the file would be lost */
  async #fill(connection: DuckDBConnection, name: string, columns: readonly string[]): Promise<void> {
    const table = identifier(name);
    if (!this.names.has(fold(name)))
      throw new Error(`it has a table ${name}, which \`state\` no longer declares`);
    const declared = await columnsOf(connection, [name]);
    const gone = columns.find((column) => !declared.has(fold(column)));
    if (gone !== undefined)
      throw new Error(`its table ${name} has a column ${gone}, which \`state\` no longer declares`);
    await connection.run(`INSERT INTO ${table} BY NAME FROM ${FILE}.main.${table}`);
  }

  async #measure(connection: DuckDBConnection): Promise<number> {
    return Math.max(0, (await usedBy(connection)) - this.#others);
  }
}

/** True if the batch would not fit, whatever is left out of it. */
export function isOfState({ code }: MillraceError): boolean {
  return code === sqlErrors.MILLRACE_SQL_STATE_TOO_LARGE.code;
}

async function usedBy(connection: DuckDBConnection): Promise<number> {
  return Number((await connection.runAndReadAll(USED)).getRows()[0]![0]);
}

function fromColumns(name: string, columns: Readonly<Record<string, string>>): string {
  const list = Object.entries(columns).map(([column, type]) => `${identifier(column)} ${type}`);
  return `CREATE TABLE ${identifier(name)} (${list.join(', ')})`;
}

/** Makes the table. @returns how DuckDB describes it */
async function define(connection: DuckDBConnection, name: string, sql: string): Promise<string> {
  try {
    const { count } = await connection.extractStatements(sql);
    if (count !== 1)
      throw new Error(`expected one statement, CREATE TABLE, and there are ${plural(count, 'statement')}`);
    const before = await tablesOf(connection);
    await connection.run(sql);
    const made = [...(await tablesOf(connection))].filter(([each]) => !before.has(each));
    const [table] = made;
    if (table === undefined || made.length > 1 || fold(table[0]) !== fold(name))
      throw new Error(`expected columns with their types, or CREATE TABLE ${name} (…)`);
    return table[1];
  } catch (error) {
    throw new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, errorMessage(explain(error)), {
      cause: error,
      fatal: true,
      field: `state.${name}`,
    });
  }
}

async function tablesOf(connection: DuckDBConnection): Promise<ReadonlyMap<string, string>> {
  const tables = await connection.runAndReadAll(
    `SELECT table_name, rtrim(sql, ';') FROM duckdb_tables() WHERE NOT internal AND NOT temporary AND schema_name = ${literal('main')}`,
  );
  return new Map(tables.getRows().map(([name, sql]) => [String(name), String(sql)]));
}

/** The folded names of the tables' columns. */
export async function columnsOf(
  connection: DuckDBConnection,
  tables: readonly string[],
): Promise<ReadonlySet<string>> {
  if (tables.length === 0) return new Set();
  const names = tables.map((name) => literal(fold(name))).join(', ');
  const reader = await connection.runAndReadAll(
    `SELECT DISTINCT lower(column_name) FROM duckdb_columns()
     WHERE lower(table_name) IN (${names}) AND database_name <> ${literal(FILE)}`,
  );
  return new Set(reader.getRows().map(([name]) => String(name)));
}
