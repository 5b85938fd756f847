import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { LIKE_MACROS } from './like.ts';

/**
 * An in-memory DuckDB for one query. One thread per connection keeps rows in order; several batches run concurrently on
 * several connections.
 */
export class Database {
  readonly #instance: DuckDBInstance;

  private constructor(instance: DuckDBInstance) {
    this.#instance = instance;
  }

  /**
   * Without `allowExternalAccess`, SQL cannot read or write files, attach databases or install extensions, and a query
   * that does not fit into `memoryLimit` (bytes) fails instead of spilling to disk.
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
      // Times with a zone then have the same text on every machine, and the same value in typed rows.
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

/** A name as DuckDB compares it: it ignores the case of ASCII letters, but not of others. */
export function fold(name: string): string {
  return name.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
