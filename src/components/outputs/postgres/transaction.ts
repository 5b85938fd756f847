import { describeFault, isOfRows } from '../../../clients/postgres/faults.ts';
import type { PostgresLink } from '../../../clients/postgres/link.ts';
import type { Refusals } from '../../../clients/refusals.ts';
import { MillraceError } from '../../../errors.ts';
import { joinJsonArray } from '../../../message/json.ts';

/** Rows that one statement inserts: JSON objects, with the places of their messages in the batch. */
export interface Insert {
  readonly statement: string;
  readonly rows: readonly Uint8Array[];
  readonly places: readonly number[];
}

/** By which a repeated batch is known. */
export const BATCHES = 'millrace_batches';
const CREATE_BATCHES = `CREATE TABLE IF NOT EXISTS ${BATCHES} (id text PRIMARY KEY, written timestamptz NOT NULL DEFAULT now())`;
const KEEP_ID = `INSERT INTO ${BATCHES} (id) VALUES ($1) ON CONFLICT DO NOTHING`;
const FORGET_IDS = `DELETE FROM ${BATCHES} WHERE written < now() - interval '7 days'`;

/** Creates what `exactly_once` needs, and forgets old ids. */
export async function openBatches(link: PostgresLink, signal: AbortSignal): Promise<void> {
  await link.query(CREATE_BATCHES, [], signal);
  await link.query(FORGET_IDS, [], signal);
}

/**
 * Inserts all rows in one transaction, in order, except those that the table refuses: each of these is found, and refused
 * alone. `id` names the batch, if it must not be written twice.
 * @throws NotConnectedError; an error of the server that is not about a row; the signal's reason
 */
export async function insertAll(
  link: PostgresLink,
  inserts: readonly Insert[],
  id: string | undefined,
  refusals: Refusals,
  signal: AbortSignal,
): Promise<void> {
  if (inserts.length === 0) return;
  try {
    // Alone, a statement is a transaction of its own.
    if (inserts.length === 1 && id === undefined) await run(link, inserts[0]!, signal);
    else
      await transaction(link, id, signal, async () => {
        for (const insert of inserts) await run(link, insert, signal);
      });
  } catch (error) {
    if (!isOfRows(error)) throw error;
    await transaction(link, id, signal, async () => {
      // A constraint that is checked at the end would refuse everything.
      await link.query('SET CONSTRAINTS ALL IMMEDIATE', [], signal);
      for (const insert of inserts) await bisect(link, insert, refusals, signal);
    });
  }
}

async function transaction(
  link: PostgresLink,
  id: string | undefined,
  signal: AbortSignal,
  act: () => Promise<void>,
): Promise<void> {
  await link.query('BEGIN', [], signal);
  try {
    const isNew = id === undefined || (await link.query(KEEP_ID, [id], signal)).rowCount === 1;
    if (isNew) await act();
    await link.query('COMMIT', [], signal);
  } catch (error) {
    if (!link.gone.aborted) await link.query('ROLLBACK', [], signal);
    throw error;
  }
}

async function run(link: PostgresLink, { statement, rows }: Insert, signal: AbortSignal): Promise<void> {
  await link.query(statement, [joinJsonArray(rows)], signal);
}

/**
 * Inserts the rows, and of those that fail each half for itself: two statements for each bad row and each power of two of
 * the others.
 */
async function bisect(
  link: PostgresLink,
  insert: Insert,
  refusals: Refusals,
  signal: AbortSignal,
): Promise<void> {
  const { rows, places } = insert;
  await link.query('SAVEPOINT part', [], signal);
  try {
    await run(link, insert, signal);
    await link.query('RELEASE SAVEPOINT part', [], signal);
    return;
  } catch (error) {
    if (!isOfRows(error)) throw error;
    await link.query('ROLLBACK TO SAVEPOINT part', [], signal);
    if (rows.length === 1) {
      const message = describeFault(error);
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
  await bisect(link, part(0, half), refusals, signal);
  await bisect(link, part(half, rows.length), refusals, signal);
}
