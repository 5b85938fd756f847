import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { LIKE_MACROS } from './like.ts';

/**
 * An in-memory DuckDB of its own for one query. One thread per connection keeps rows in the order in which they came;
 * several batches run at the same time on several connections.
 */
export class Database {
  readonly #instance: DuckDBInstance;

  private constructor(instance: DuckDBInstance) {
    this.#instance = instance;
  }

  /**
   * Without `allowExternalAccess`, SQL cannot read or write files, attach databases or install extensions, and what does
   * not fit into `memoryLimit` (bytes) fails instead of going to disk.
   */
  static async open(options: { allowExternalAccess: boolean; memoryLimit: number }): Promise<Database> {
    const { DuckDBInstance } = await import('@duckdb/node-api');
    const external = String(options.allowExternalAccess);
    const instance = await DuckDBInstance.create(':memory:', {
      threads: '1',
      enable_external_access: external,
      autoinstall_known_extensions: external,
      autoload_known_extensions: external,
      memory_limit: `${Math.ceil(options.memoryLimit / 1024)}KiB`,
      ...(!options.allowExternalAccess && { max_temp_directory_size: '0B' }),
    });
    const connection = await instance.connect();
    try {
      await connection.run(LIKE_MACROS);
      // Text of a time with a zone is the same on every machine, and in rows that are not text.
      await connection.run(`SET GLOBAL TimeZone = 'UTC'`);
      await connection.run('SET lock_configuration = true');
    } finally {
      connection.closeSync();
    }
    return new Database(instance);
  }

  connect(): Promise<DuckDBConnection> {
    return this.#instance.connect();
  }

  close(): void {
    this.#instance.closeSync();
  }
}

/** An SQL identifier in quotes. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** An SQL string in quotes. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A name as DuckDB compares it: the case of ASCII letters does not count, that of others does. */
export function fold(name: string): string {
  return name.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
