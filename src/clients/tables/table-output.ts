import type { Context } from '../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../component/contracts.ts';
import { checkJson } from '../../component/payloads.ts';
import { MillraceError, NotConnectedError } from '../../errors.ts';
import type { Batch } from '../../message/batch.ts';
import { MessageValue, valueIn, type MessageColumn } from '../message-value.ts';
import { Refusals } from '../refusals.ts';
import { Grouping, type Group } from './groups.ts';
import type { SqlLink } from './sql-link.ts';
import type { Dialect, Table } from './table.ts';
import type { TableConfig } from './table-fields.ts';
import { Tables } from './tables.ts';
import { Transactions, type Insert } from './transaction.ts';

/** The most rows in a statement. */
const LARGEST = 10_000;

/** Writes rows into a database: the part of it that is the same for each kind. */
export class TableOutput<C> implements Output {
  readonly identified: boolean;
  readonly #config: C & TableConfig;
  readonly #context: Context;
  readonly #dialect: Dialect<C>;
  readonly #table: MessageValue;
  readonly #columns: readonly (readonly [name: string, value: MessageValue])[] | undefined;
  readonly #tables: Tables;
  #groupings = new WeakMap<Table, Grouping>();
  #link: SqlLink | undefined;

  constructor(config: NoInfer<C> & TableConfig, context: Context, dialect: Dialect<C>) {
    this.#config = config;
    this.#dialect = dialect;
    this.#context = context;
    this.identified = config.exactly_once;
    this.#table = new MessageValue(config.table, { field: 'table', context });
    this.#columns =
      config.columns &&
      Object.entries(config.columns).map(([name, value]) => [
        name,
        new MessageValue(value, { field: `columns.${name}`, context, optional: true }),
      ]);
    this.#tables = new Tables(config, dialect);
  }

  async prepare(): Promise<void> {
    for (const value of this.#values()) await value.prepare();
  }

  async connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void> {
    const link = await this.#dialect.open(this.#config, this.#context, signal);
    this.#link = link;
    this.#tables.forget();
    link.gone.addEventListener('abort', () => lost(link.gone.reason as Error), { once: true });
    if (this.#config.exactly_once) await new Transactions(this.#dialect, link).openBatches(signal);
  }

  async dial(signal: AbortSignal): Promise<void> {
    this.#link = await this.#dialect.open(this.#config, this.#context, signal);
  }

  async write(batch: Batch, { signal, id }: WriteCall): Promise<WriteResult> {
    const link = this.#link;
    if (link === undefined || link.gone.aborted)
      throw link?.gone.reason ?? new NotConnectedError('not connected');
    const refusals = new Refusals();
    try {
      const inserts = await this.#inserts(batch, link, refusals, signal);
      const kept = this.#config.exactly_once ? id : undefined;
      await new Transactions(this.#dialect, link).insertAll(inserts, kept, refusals, signal);
    } catch (error) {
      if (this.#dialect.isChanged(error)) this.#tables.forget();
      // The server's own error has the row in it, beside its words.
      throw error instanceof MillraceError ? error : new Error(this.#dialect.describe(error));
    }
    return { refused: refusals.list };
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#link?.close(signal);
    for (const value of this.#values()) await value.close();
  }

  #values(): MessageValue[] {
    return [this.#table, ...(this.#columns ?? []).map(([, value]) => value)];
  }

  async #inserts(batch: Batch, link: SqlLink, refusals: Refusals, signal: AbortSignal): Promise<Insert[]> {
    const tables = await this.#table.of(batch, refusals.add, signal);
    const rows = await this.#rows(batch, refusals, signal);
    const inserts: Insert[] = [];
    for (const [name, places] of placesOf(tables, batch.length, refusals)) {
      const own = places.map((index) => rows[index]!);
      const table = await this.#tables.find(name, own, link, signal);
      if (table === undefined) this.#missing(name, places, refusals);
      else
        for (const group of this.#groups(table, rows, places, refusals))
          inserts.push(...this.#statements(table, group, rows));
    }
    return inserts;
  }

  /** The row of each message, as a JSON object. */
  async #rows(batch: Batch, refusals: Refusals, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    if (this.#columns === undefined) {
      checkJson(batch, refusals.add);
      return batch.payloads;
    }
    const columns: [name: string, values: MessageColumn][] = [];
    for (const [name, value] of this.#columns)
      columns.push([JSON.stringify(name), await value.of(batch, refusals.add, signal)]);
    return Array.from({ length: batch.length }, (_, index) => {
      let row = '';
      for (const [name, values] of columns)
        row += `${row === '' ? '{' : ','}${name}:${JSON.stringify(valueIn(values, index) ?? null)}`;
      return Buffer.from(`${row}}`);
    });
  }

  #groups(table: Table, rows: readonly Uint8Array[], places: readonly number[], refusals: Refusals): Group[] {
    const { unknown_fields, on_conflict } = this.#config;
    let grouping = this.#groupings.get(table);
    if (grouping === undefined) {
      const isStrict = this.#columns !== undefined || unknown_fields === 'reject';
      grouping = new Grouping(table, { isStrict, isUpdate: on_conflict === 'update' });
      this.#groupings.set(table, grouping);
    }
    return grouping.divide(rows, places, refusals);
  }

  *#statements(table: Table, { places, columns }: Group, rows: readonly Uint8Array[]): Generator<Insert> {
    const { on_conflict: onConflict, keys } = this.#config;
    const written = columns.map((at) => table.columns[at]!);
    const isText = this.#columns !== undefined;
    const inserter = this.#dialect.inserter(table, written, { onConflict, keys, isText });
    for (let at = 0; at < places.length; at += LARGEST) {
      const part = places.slice(at, at + LARGEST);
      yield { inserter, places: part, rows: part.map((index) => rows[index]!) };
    }
  }

  #missing(name: string, places: readonly number[], refusals: Refusals): void {
    const message = `the table ${name} does not exist`;
    // With one table for all, somebody can create it, and nothing is written until then.
    if (this.#table.constant !== undefined) throw new Error(message);
    for (const index of places)
      refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', message) });
  }
}

/** The places of the messages that go to each table, in order, without those that are refused already. */
function placesOf(tables: MessageColumn, length: number, refusals: Refusals): Map<string, number[]> {
  const byTable = new Map<string, number[]>();
  for (let index = 0; index < length; index++) {
    if (refusals.has(index)) continue;
    const table = valueIn(tables, index)!;
    const places = byTable.get(table);
    if (places === undefined) byTable.set(table, [index]);
    else places.push(index);
  }
  return byTable;
}
