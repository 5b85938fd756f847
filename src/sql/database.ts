import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { LIKE_MACROS } from './like.ts';
import { runSetup } from './setup.ts';

/** Tables that are there before the first query, from files. */
interface Preloaded {
  /** The files that the database may read. */
  readonly paths: readonly string[];
  load(connection: DuckDBConnection): Promise<void>;
}

export interface DatabaseOptions {
  readonly allowExternalAccess: boolean;
  /** Bytes. */
  readonly memoryLimit: number;
  /** An IANA name. */
  readonly timezone: string;
  /** Statements of the user that make macros, views and tables. */
  readonly setup?: string | undefined;
  /** A folder for files of Millrace's own. */
  readonly folder?: string | undefined;
  /** The files that are tables. */
  readonly tables?: Preloaded | undefined;
}

/**
 * An in-memory DuckDB for one query. One thread per connection keeps rows in order; several batches run concurrently on
 * several connections.
 */
export class Database {
  /** The folded names of the functions and views that the user’s statements have made. */
  readonly own: ReadonlySet<string>;
  /** The folded names of columns of the user’s tables and views. */
  readonly columns: ReadonlySet<string>;
  readonly #instance: DuckDBInstance;

  private constructor(
    instance: DuckDBInstance,
    made: { readonly own: ReadonlySet<string>; readonly columns: ReadonlySet<string> },
  ) {
    this.#instance = instance;
    this.own = made.own;
    this.columns = made.columns;
  }

  /**
   * Without `allowExternalAccess`, SQL cannot read or write files (except those of `tables`), attach databases or install
   * extensions, and a query that does not fit into `memoryLimit` fails instead of spilling to disk.
   * @throws MillraceError MILLRACE_SQL_INVALID (fatal) for mistakes in `setup`, and for files that cannot be read
   */
  static async open(options: DatabaseOptions): Promise<Database> {
    const { DuckDBInstance } = await import('./duckdb-api.ts');
    const { allowExternalAccess, tables, setup } = options;
    const external = String(allowExternalAccess);
    const instance = await DuckDBInstance.create(':memory:', {
      threads: '1',
      autoinstall_known_extensions: external,
      autoload_known_extensions: external,
      memory_limit: `${Math.ceil(options.memoryLimit / 1024)}KiB`,
      ...(!allowExternalAccess && { max_temp_directory_size: '0B' }),
    });
    try {
      const connection = await instance.connect();
      try {
        await connection.run(LIKE_MACROS);
        // Without it, the machine’s own would decide what `now()::DATE` is.
        await connection.run(`SET GLOBAL TimeZone = ${literal(options.timezone)}`);
        const paths = tables?.paths.map(literal) ?? [];
        if (paths.length > 0) await connection.run(`SET GLOBAL allowed_paths = [${paths.join(', ')}]`);
        if (options.folder !== undefined)
          await connection.run(`SET GLOBAL allowed_directories = [${literal(`${options.folder}/`)}]`);
        if (!allowExternalAccess) await connection.run('SET GLOBAL enable_external_access = false');
        await connection.run('SET lock_configuration = true');
        await tables?.load(connection);
        const own = setup === undefined ? new Set<string>() : await runSetup(connection, setup);
        const columns =
          paths.length > 0 || setup !== undefined ? await columnsOf(connection) : new Set<string>();
        return new Database(instance, { own, columns });
      } finally {
        connection.closeSync();
      }
    } catch (error) {
      instance.closeSync();
      throw error;
    }
  }

  connect(): Promise<DuckDBConnection> {
    return this.#instance.connect();
  }

  close(): void {
    this.#instance.closeSync();
  }
}

async function columnsOf(connection: DuckDBConnection): Promise<ReadonlySet<string>> {
  const columns = await connection.runAndReadAll(
    'SELECT DISTINCT lower(column_name) FROM duckdb_columns() WHERE NOT internal',
  );
  return new Set(columns.getRows().map(([name]) => String(name)));
}

/** An SQL identifier in quotes. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** An SQL string in quotes. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A name as DuckDB compares it: it ignores the case of ASCII letters, but not of others. */
export function fold(name: string): string {
  return name.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
