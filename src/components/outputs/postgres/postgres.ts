import { MessageValue, valueIn, type MessageColumn } from '../../../clients/message-value.ts';
import { describeFault, isChanged } from '../../../clients/postgres/faults.ts';
import { PostgresLink } from '../../../clients/postgres/link.ts';
import { Refusals } from '../../../clients/refusals.ts';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { defineOutput } from '../../../component/define.ts';
import { checkJson } from '../../../component/payloads.ts';
import { MillraceError, NotConnectedError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { schema, type PostgresOutputConfig } from './config.ts';
import { Grouping, type Group } from './groups.ts';
import { insertStatement, type Table } from './table.ts';
import { Tables } from './tables.ts';
import { insertAll, openBatches, type Insert } from './transaction.ts';

/** The most rows in a statement. */
const LARGEST = 10_000;

/** Writes rows into PostgreSQL. */
export const postgresOutput = defineOutput({
  type: 'postgres',
  summary: 'Writes messages into a table of PostgreSQL, a row each.',
  status: 'beta',
  description: `A batch is one transaction, and most often one statement. A message is confirmed once PostgreSQL has committed it.

Without \`columns\`, a message is a JSON object, and its fields go to the columns of their names. PostgreSQL itself reads them: NUMERIC keeps every digit, a TIMESTAMPTZ takes ISO 8601, JSONB takes any value, an array takes a list. A BYTEA takes base64, or \`\\x\` and hexadecimal digits. A column that a message lacks gets its default. With \`columns\`, the values are text in the same way: \`{{payload}}\` is the message itself.

A row that the table refuses (a value of another type, a constraint, a trigger that raises) goes to \`error_output\` alone, with the server’s words; the others are written, in order. If the table is missing, the output waits for it, unless its name differs by message: then the message goes to \`error_output\`.

Repeats: if the connection is lost while PostgreSQL commits, nobody knows whether it has, and the batch is written again. With a key and \`on_conflict: ignore\` or \`update\`, that changes nothing. \`exactly_once\` does the same for a table without a key, as long as a repeated batch is the same: always while the process runs, and behind a log after a restart as well.

TimescaleDB and other servers that speak this protocol work as well, if they have \`json_to_recordset\`.`,
  schema,
  examples: [
    {
      title: 'Each field into its column, the newest reading of a device',
      yaml: 'type: postgres\nurl: postgres://millrace@localhost:5432/plant\npassword_file: /run/secrets/postgres\ntable: readings\non_conflict: update\nkeys: [device]\ncreate: true\nschema: { at: TIMESTAMPTZ }\n',
    },
    {
      title: 'The whole message, with metadata',
      yaml: "type: postgres\nurl: postgres://millrace:${PASSWORD}@localhost/plant\ntable: raw\ncolumns:\n  source: '{{source}}'\n  day: '{{date}}'\n  body: '{{payload}}'\n",
    },
  ],
  create: (config, context) => new PostgresOutput(config, context),
});

class PostgresOutput implements Output {
  readonly identified: boolean;
  readonly #config: PostgresOutputConfig;
  readonly #context: Context;
  readonly #table: MessageValue;
  readonly #columns: readonly (readonly [name: string, value: MessageValue])[] | undefined;
  readonly #tables: Tables;
  #groupings = new WeakMap<Table, Grouping>();
  #link: PostgresLink | undefined;

  constructor(config: PostgresOutputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    this.identified = config.exactly_once;
    this.#table = new MessageValue(config.table, { field: 'table', context });
    this.#columns =
      config.columns &&
      Object.entries(config.columns).map(([name, value]) => [
        name,
        new MessageValue(value, { field: `columns.${name}`, context, optional: true }),
      ]);
    this.#tables = new Tables(config);
  }

  async prepare(): Promise<void> {
    for (const value of this.#values()) await value.prepare();
  }

  async connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void> {
    const link = await PostgresLink.open(this.#config, this.#context, signal);
    this.#link = link;
    this.#tables.forget();
    link.gone.addEventListener('abort', () => lost(link.gone.reason as Error), { once: true });
    if (this.#config.exactly_once) await openBatches(link, signal);
  }

  async dial(signal: AbortSignal): Promise<void> {
    this.#link = await PostgresLink.open(this.#config, this.#context, signal);
  }

  async write(batch: Batch, { signal, id }: WriteCall): Promise<WriteResult> {
    const link = this.#link;
    if (link === undefined || link.gone.aborted)
      throw link?.gone.reason ?? new NotConnectedError('not connected');
    const refusals = new Refusals();
    try {
      const inserts = await this.#inserts(batch, link, refusals, signal);
      await insertAll(link, inserts, this.#config.exactly_once ? id : undefined, refusals, signal);
    } catch (error) {
      if (isChanged(error)) this.#tables.forget();
      // The server's own error has the row in it, beside its words.
      throw error instanceof MillraceError ? error : new Error(describeFault(error));
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

  async #inserts(
    batch: Batch,
    link: PostgresLink,
    refusals: Refusals,
    signal: AbortSignal,
  ): Promise<Insert[]> {
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
    const statement = insertStatement(table, written, { onConflict, keys, isText });
    for (let at = 0; at < places.length; at += LARGEST) {
      const part = places.slice(at, at + LARGEST);
      yield { statement, places: part, rows: part.map((index) => rows[index]!) };
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
