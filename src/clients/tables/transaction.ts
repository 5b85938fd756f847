import { MillraceError } from '../../errors.ts';
import type { Refusals } from '../refusals.ts';
import type { SqlLink } from './sql-link.ts';
import type { Dialect, Inserter } from './table.ts';

/** Rows that one statement inserts: JSON objects, with the places of their messages in the batch. */
export interface Insert {
  readonly inserter: Inserter;
  readonly rows: readonly Uint8Array[];
  readonly places: readonly number[];
}

/** Inserts rows over one connection. */
export class Transactions {
  readonly #dialect: Dialect<never>;
  readonly #link: SqlLink;

  constructor(dialect: Dialect<never>, link: SqlLink) {
    this.#dialect = dialect;
    this.#link = link;
  }

  /** Creates what `exactly_once` needs, and forgets old ids. */
  async openBatches(signal: AbortSignal): Promise<void> {
    for (const statement of this.#dialect.batches.open) await this.#link.query(statement, [], signal);
  }

  /**
   * Inserts all rows in one transaction, in order, except those that the table refuses: each of these is found, and
   * refused alone. `id` names the batch, if it must not be written twice.
   * @throws NotConnectedError; an error of the server that is not about a row; the signal's reason
   */
  async insertAll(
    inserts: readonly Insert[],
    id: string | undefined,
    refusals: Refusals,
    signal: AbortSignal,
  ): Promise<void> {
    if (inserts.length === 0) return;
    try {
      // Alone, a statement is a transaction of its own.
      if (inserts.length === 1 && id === undefined) await this.#run(inserts[0]!, signal);
      else
        await this.#transaction(id, signal, async () => {
          for (const insert of inserts) await this.#run(insert, signal);
        });
    } catch (error) {
      if (!this.#dialect.isOfRows(error)) throw error;
      await this.#transaction(id, signal, async () => {
        const { immediate } = this.#dialect;
        // A constraint that is checked at the end would refuse everything.
        if (immediate !== undefined) await this.#link.query(immediate, [], signal);
        for (const insert of inserts) await this.#bisect(insert, refusals, signal);
      });
    }
  }

  async #transaction(id: string | undefined, signal: AbortSignal, act: () => Promise<void>): Promise<void> {
    const link = this.#link;
    await link.query('BEGIN', [], signal);
    try {
      const isNew =
        id === undefined || (await link.query(this.#dialect.batches.keep, [id], signal)).count === 1;
      if (isNew) await act();
      await link.query('COMMIT', [], signal);
    } catch (error) {
      if (!link.gone.aborted) await link.query('ROLLBACK', [], signal);
      throw error;
    }
  }

  async #run({ inserter, rows }: Insert, signal: AbortSignal): Promise<void> {
    const { text, values } = inserter(rows);
    await this.#link.query(text, values, signal);
  }

  /**
   * Inserts the rows, and of those that fail each half for itself: two statements for each bad row and each power of two
   * of the others.
   */
  async #bisect(insert: Insert, refusals: Refusals, signal: AbortSignal): Promise<void> {
    const { rows, places } = insert;
    await this.#link.query('SAVEPOINT part', [], signal);
    try {
      await this.#run(insert, signal);
      await this.#link.query('RELEASE SAVEPOINT part', [], signal);
      return;
    } catch (error) {
      if (!this.#dialect.isOfRows(error)) throw error;
      await this.#link.query('ROLLBACK TO SAVEPOINT part', [], signal);
      if (rows.length === 1) {
        const message = this.#dialect.describe(error);
        refusals.add({ index: places[0]!, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', message) });
        return;
      }
    }
    const half = rows.length >> 1;
    const part = (start: number, end: number): Insert => ({
      ...insert,
      rows: rows.slice(start, end),
      places: places.slice(start, end),
    });
    await this.#bisect(part(0, half), refusals, signal);
    await this.#bisect(part(half, rows.length), refusals, signal);
  }
}
