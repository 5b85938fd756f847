import type { DuckDBConnection } from '@duckdb/node-api';
import { Database, type DatabaseOptions } from '../../src/sql/database.ts';
import type { QueryDatabase } from '../../src/sql/query.ts';

const shared = new Map<string, Promise<Database>>();

/**
 * A database that this worker opens once for the same settings. For queries without `setup`, tables, state and
 * `__value__`: all that these make is temporary, and so belongs to their connections.
 */
export async function sharedDatabase(options: DatabaseOptions): Promise<QueryDatabase> {
  const { allowExternalAccess, memoryLimit, timezone } = options;
  const key = JSON.stringify([allowExternalAccess, memoryLimit, timezone]);
  const opening = shared.get(key) ?? Database.open({ allowExternalAccess, memoryLimit, timezone });
  shared.set(key, opening);
  const database = await opening;
  const connections: DuckDBConnection[] = [];
  return {
    own: database.own,
    columns: database.columns,
    connect: async () => {
      const connection = await database.connect();
      connections.push(connection);
      return connection;
    },
    close: () => {
      for (const connection of connections) connection.closeSync();
    },
  };
}
