import { columnsFor } from './infer.ts';
import type { SqlLink } from './sql-link.ts';
import { tableOf, type Dialect, type Table } from './table.ts';
import type { TableConfig } from './table-fields.ts';

/** How many tables are remembered. */
const REMEMBERED = 1000;

/** The tables that messages go to, as they are in the database. */
export class Tables {
  readonly #config: TableConfig;
  readonly #dialect: Dialect<never>;
  readonly #known = new Map<string, Table>();

  constructor(config: TableConfig, dialect: Dialect<never>) {
    this.#config = config;
    this.#dialect = dialect;
  }

  /** Something has changed in the database: asks anew. */
  forget(): void {
    this.#known.clear();
  }

  /** The table, created if the file says so; undefined if there is none. `payloads` are messages that go to it, each JSON. */
  async find(
    name: string,
    payloads: readonly Uint8Array[],
    link: SqlLink,
    signal: AbortSignal,
  ): Promise<Table | undefined> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const table =
      (await this.#ask(name, link, signal)) ??
      (this.#config.create ? await this.#create(name, payloads, link, signal) : undefined);
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    if (table !== undefined) this.#known.set(name, table);
    return table;
  }

  async #create(
    name: string,
    payloads: readonly Uint8Array[],
    link: SqlLink,
    signal: AbortSignal,
  ): Promise<Table | undefined> {
    const { columns, schema, keys } = this.#config;
    const made =
      columns === undefined
        ? columnsFor(payloads)
        : Object.keys(columns).map((each) => ({ name: each, type: 'text' as const }));
    if (made.length === 0) return undefined;
    const { quoted, type, tableOptions } = this.#dialect;
    const parts = made.map(
      (each) =>
        `${quoted(each.name)} ${schema[each.name] ?? type(each.type, keys?.includes(each.name) === true)}`,
    );
    if (keys !== undefined) parts.push(`PRIMARY KEY (${keys.map(quoted).join(', ')})`);
    const statement = `CREATE TABLE IF NOT EXISTS ${this.#inSql(name)} (${parts.join(', ')}) ${tableOptions}`;
    await link.query(statement, [], signal);
    return await this.#ask(name, link, signal);
  }

  async #ask(name: string, link: SqlLink, signal: AbortSignal): Promise<Table | undefined> {
    const columns = await this.#dialect.columns(name, link, signal);
    return columns.length === 0 ? undefined : tableOf(this.#inSql(name), columns);
  }

  /** With or without its schema: `public.readings` is `"public"."readings"`. */
  #inSql(name: string): string {
    return name.split('.').map(this.#dialect.quoted).join('.');
  }
}
