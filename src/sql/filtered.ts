import { MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Query } from './query.ts';
import { sqlErrors } from './sql-errors.ts';

/**
 * Runs a query whose rows are each made of one message, and rejects the messages of which it makes none. The query must
 * be `traced`.
 */
export async function runRejectingFiltered(
  query: Query,
  batch: Batch,
  reject: (rejection: Rejection) => void,
  signal: AbortSignal,
): Promise<Batch[]> {
  const used = new Uint8Array(batch.length);
  const rows = await query.run(
    batch.withPositions('own'),
    (rejection) => {
      used[rejection.index] = 1;
      reject(rejection);
    },
    signal,
  );
  const made = rows.map((each) => {
    const indices = Array.from({ length: each.length }, (_, row) => each.positionAt(row)!);
    for (const index of indices) used[index] = 1;
    const known = batch.length === 0 || batch.positionAt(0) !== undefined;
    return each.withPositions(
      known ? Uint32Array.from(indices, (index) => batch.positionAt(index)!) : undefined,
    );
  });
  if (!used.includes(0)) return made;
  // Creating an error is slow, so the messages share one.
  const error = new MillraceError(sqlErrors.MILLRACE_SQL_FILTERED, 'the query makes no row of the message');
  for (let index = 0; index < used.length; index++) if (used[index] === 0) reject({ index, error });
  return made;
}
