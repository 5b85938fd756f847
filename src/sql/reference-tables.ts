import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError, errorMessage } from '../errors.ts';
import { identifier, literal } from './database.ts';
import { explain } from './explain.ts';
import { sqlErrors } from './sql-errors.ts';

/** How often files are looked at while batches come, in milliseconds. */
const LOOK_EVERY = 1_000;

const readers: readonly [RegExp, string][] = [
  [/\.(?:csv|tsv)(?:\.gz|\.zst)?$/i, 'read_csv'],
  [/\.(?:json|jsonl|ndjson)(?:\.gz|\.zst)?$/i, 'read_json'],
  [/\.parquet$/i, 'read_parquet'],
];

interface ReferenceTable {
  readonly name: string;
  readonly path: string;
  readonly reader: string;
  /** Of the file as it was read last: the time of its change, and its size. */
  seen: string;
}

/** Files that a query reads as tables. A file that has changed is read again; if that fails, the table stays as it was. */
export class ReferenceTables {
  readonly #tables: readonly ReferenceTable[];
  readonly #trouble = new Map<string, string>();
  #lookAt = 0;

  /** `files`: the path of each table's file. @throws MillraceError MILLRACE_SQL_INVALID (fatal) for a format that is not known */
  constructor(files: Readonly<Record<string, string>>) {
    this.#tables = Object.entries(files).map(([name, path]) => {
      const reader = readers.find(([ending]) => ending.test(path))?.[1];
      if (reader === undefined)
        throw invalid(
          name,
          `${path}: expected a name that ends in .csv, .tsv, .json, .jsonl, .ndjson or .parquet`,
        );
      return { name, path: resolve(path), reader, seen: '' };
    });
  }

  /** The paths that the database may read. */
  get paths(): readonly string[] {
    return this.#tables.map(({ path }) => path);
  }

  /** Reads all files. @throws MillraceError MILLRACE_SQL_INVALID (fatal) for one that cannot be read */
  async load(connection: DuckDBConnection): Promise<void> {
    for (const table of this.#tables) {
      try {
        await read(connection, table, await stateOf(table));
      } catch (error) {
        throw invalid(table.name, explain(error), error);
      }
    }
    this.#lookAt = performance.now() + LOOK_EVERY;
  }

  /** True if it is time to call `refresh`. */
  get isDue(): boolean {
    return this.#tables.length > 0 && performance.now() >= this.#lookAt;
  }

  /** Reads the files that have changed. A table whose file cannot be read stays as it was: see `trouble`. */
  async refresh(connection: DuckDBConnection): Promise<void> {
    this.#lookAt = performance.now() + LOOK_EVERY;
    for (const table of this.#tables) {
      try {
        const state = await stateOf(table);
        if (state !== table.seen) await read(connection, table, state);
        this.#trouble.delete(table.name);
      } catch (error) {
        this.#trouble.set(table.name, `the table ${table.name} is not up to date: ${explain(error)}`);
      }
    }
  }

  /** Why a table is not up to date, or undefined. */
  get trouble(): string | undefined {
    return this.#trouble.values().next().value;
  }
}

async function stateOf({ path }: ReferenceTable): Promise<string> {
  const { mtimeMs, size, ino } = await stat(path);
  return `${mtimeMs} ${size} ${ino}`;
}

async function read(connection: DuckDBConnection, table: ReferenceTable, state: string): Promise<void> {
  const { name, path, reader } = table;
  await connection.run(`CREATE OR REPLACE TABLE ${identifier(name)} AS FROM ${reader}(${literal(path)})`);
  table.seen = state;
}

function invalid(name: string, message: string, cause?: unknown): MillraceError {
  return new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, errorMessage(message), {
    cause,
    fatal: true,
    field: `tables.${name}`,
  });
}
