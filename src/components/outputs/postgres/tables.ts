import { isNoTable } from '../../../clients/postgres/faults.ts';
import type { PostgresLink } from '../../../clients/postgres/link.ts';
import { quotedTable } from '../../../clients/postgres/names.ts';
import type { PostgresOutputConfig } from './config.ts';
import { columnsFor } from './infer.ts';
import { COLUMNS, createStatement, tableOf, type Table } from './table.ts';

/** How many tables are remembered. */
const REMEMBERED = 1000;

/** The tables that messages go to, as they are in the database. */
export class Tables {
  readonly #config: PostgresOutputConfig;
  readonly #known = new Map<string, Table>();

  constructor(config: PostgresOutputConfig) {
    this.#config = config;
  }

  /** Something has changed in the database: asks anew. */
  forget(): void {
    this.#known.clear();
  }

  /** The table, created if the file says so; undefined if there is none. `payloads` are messages that go to it, each JSON. */
  async find(
    name: string,
    payloads: readonly Uint8Array[],
    link: PostgresLink,
    signal: AbortSignal,
  ): Promise<Table | undefined> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const table =
      (await ask(name, link, signal)) ??
      (this.#config.create ? await this.#create(name, payloads, link, signal) : undefined);
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    if (table !== undefined) this.#known.set(name, table);
    return table;
  }

  async #create(
    name: string,
    payloads: readonly Uint8Array[],
    link: PostgresLink,
    signal: AbortSignal,
  ): Promise<Table | undefined> {
    const { columns, schema, keys } = this.#config;
    const made =
      columns === undefined
        ? columnsFor(payloads, schema)
        : Object.keys(columns).map((each) => ({ name: each, type: schema[each] ?? 'text' }));
    if (made.length === 0) return undefined;
    await link.query(createStatement(quotedTable(name), made, keys), [], signal);
    return await ask(name, link, signal);
  }
}

async function ask(name: string, link: PostgresLink, signal: AbortSignal): Promise<Table | undefined> {
  const quoted = quotedTable(name);
  try {
    const { rows } = await link.query(COLUMNS, [quoted], signal);
    if (rows.length === 0) return undefined;
    const columns = rows.map((row) => ({
      name: String(row['name']),
      type: String(row['type']),
      hasDefault: row['has_default'] === true,
    }));
    return tableOf(quoted, columns);
  } catch (error) {
    if (isNoTable(error)) return undefined;
    throw error;
  }
}
