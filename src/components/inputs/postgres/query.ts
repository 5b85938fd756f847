import { describeFault } from '../../../clients/postgres/faults.ts';
import { PostgresLink } from '../../../clients/postgres/link.ts';
import { quoted } from '../../../clients/postgres/names.ts';
import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { Waker } from '../../../component/waker.ts';
import { EndOfInputError, MillraceError } from '../../../errors.ts';
import { Batch, nowMicros, type Origin } from '../../../message/batch.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { extName } from '../../../message/metadata.ts';
import { createReceipt } from '../../../message/receipt.ts';
import type { QueryConfig } from './config.ts';
import { KeptCursor } from './cursor.ts';
import { listenTo } from './listen.ts';

const INTERVAL = 1_000;

/**
 * Runs a query again and again, from where the last result ended. A result is read through a cursor of SQL that outlives its
 * transaction: while the stream waits, the server keeps the rows, and no transaction stays open.
 */
export class PostgresQueryInput implements Input {
  readonly #config: QueryConfig;
  readonly #context: Context;
  readonly #kept: KeptCursor;
  readonly #waker = new Waker();
  readonly #statement: string;
  #link: PostgresLink | undefined;
  #origin: Origin | undefined;
  /** The place up to which rows were read; undefined before the first connection. */
  #place: string | undefined;
  /** The place of the last row that was read. */
  #last: string | undefined;
  /** Whether a result is being read. */
  #isOpen = false;
  /** When the query runs again, in milliseconds of `performance.now()`. */
  #due = 0;
  #isNotified = false;
  #ended = false;

  constructor(config: QueryConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    this.#kept = new KeptCursor(context);
    const query = config.query.trim().replace(/;$/, '');
    const place = config.cursor === undefined ? 'NULL' : `r.${quoted(config.cursor.column)}::text`;
    // PostgreSQL itself makes the JSON, so that no digit is lost on the way.
    this.#statement = `DECLARE millrace NO SCROLL CURSOR WITH HOLD FOR SELECT to_json(r)::text, ${place} FROM (${query}\n) AS r`;
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { cursor, listen = [] } = this.#config;
    if (this.#place === undefined && cursor !== undefined)
      this.#place = (await this.#kept.load()) ?? cursor.initial;
    const link = await PostgresLink.open(this.#config, this.#context, signal);
    this.#link = link;
    this.#isOpen = false;
    this.#due = 0;
    this.#origin = { source: this.#context.name ?? link.url, ext: {} };
    link.gone.addEventListener('abort', () => this.#waker.wake(), { once: true });
    await listenTo(link, listen, signal, () => {
      this.#isNotified = true;
      this.#waker.wake();
    });
  }

  async dial(signal: AbortSignal): Promise<void> {
    this.#link = await PostgresLink.open(this.#config, this.#context, signal);
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    const link = this.#link!;
    for (;;) {
      await this.#waker.until(() => this.#isDue || this.#ended || link.gone.aborted, signal, {
        timeout: Math.max(this.#due - performance.now(), 0),
      });
      if (this.#ended) throw new EndOfInputError();
      if (link.gone.aborted) throw link.gone.reason;
      if (!this.#isDue) continue;
      try {
        const rows = await this.#fetch(link, signal);
        if (rows.length > 0) return this.#delivery(rows);
      } catch (error) {
        throw error instanceof MillraceError || signal.aborted ? error : new Error(describeFault(error));
      }
    }
  }

  drain(): void {
    this.#ended = true;
    this.#waker.wake();
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#link?.close(signal);
    await this.#kept.close();
  }

  get #isDue(): boolean {
    return this.#isOpen || this.#isNotified || performance.now() >= this.#due;
  }

  /** The next rows of the result: each the JSON of a row, and its place. */
  async #fetch(link: PostgresLink, signal: AbortSignal): Promise<[row: string, place: string | null][]> {
    const { batch_size: size, cursor, interval } = this.#config;
    if (!this.#isOpen) {
      // Before the query, so that a notification while it runs is not forgotten.
      this.#isNotified = false;
      await link.query(this.#statement, cursor === undefined ? [] : [this.#place], signal);
      this.#isOpen = true;
    }
    const rows = await link.list(`FETCH ${size} FROM millrace`, signal);
    if (rows.length < size) {
      await link.query('CLOSE millrace', [], signal);
      this.#isOpen = false;
      this.#due = performance.now() + (interval ?? INTERVAL);
      if (interval === undefined && cursor === undefined) this.#ended = true;
      // The last part of the result was not known to be the last.
      if (rows.length === 0 && this.#last !== undefined && this.#last !== this.#place) {
        this.#place = this.#last;
        this.#kept.track(this.#place)(undefined);
      }
    }
    return rows as [string, string | null][];
  }

  #delivery(rows: readonly [row: string, place: string | null][]): InputDelivery {
    const payloads = rows.map(([row]) => Buffer.from(row));
    const runs = [{ start: 0, origin: this.#origin!, time: nowMicros() }];
    const batch = new Batch(payloads, { runs, format: 'json', positions: 'own' });
    if (this.#config.cursor === undefined) return { batch, receipt: createReceipt({ settled: () => {} }) };
    const places = rows.map(([, place]) => place ?? undefined);
    const last = places.findLast((place) => place !== undefined);
    // Rows with the last value may be in the next part of the result: if it is not read to its end, they come again.
    const safe = this.#isOpen ? this.#beforeLast(places, last) : last;
    this.#place = safe ?? this.#place;
    this.#last = last;
    const settled = this.#kept.track(safe);
    return { batch: batch.withMeta(extName('cursor'), places), receipt: createReceipt({ settled }) };
  }

  /** The last place before that of the last row; it may be that of the part before. */
  #beforeLast(places: readonly (string | undefined)[], last: string | undefined): string | undefined {
    const [first] = places;
    const within = places.findLast((place) => place !== undefined && place !== last);
    return within ?? (first === this.#last ? undefined : this.#last);
  }
}
