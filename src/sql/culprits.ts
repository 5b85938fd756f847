import type { Batch } from '../message/batch.ts';

/**
 * The messages of a batch on which `attempt` fails when it has them alone, and how; found by halving.
 * @throws `error`, with which it failed on the whole, if there are none: it is the query on many that fails
 */
export async function findCulprits(
  batch: Batch,
  attempt: (part: Batch) => Promise<unknown>,
  error: unknown,
): Promise<Map<number, unknown>> {
  const culprits = new Map<number, unknown>();
  const search = async (start: number, end: number, failure: unknown): Promise<void> => {
    if (end - start === 1) {
      culprits.set(start, failure);
      return;
    }
    const middle = (start + end) >> 1;
    for (const [from, to] of [
      [start, middle],
      [middle, end],
    ] as const) {
      const part = batch.select(Array.from({ length: to - from }, (_, offset) => from + offset));
      const [outcome] = await Promise.allSettled([attempt(part)]);
      if (outcome.status === 'rejected') await search(from, to, outcome.reason);
    }
  };
  await search(0, batch.length, error);
  if (culprits.size === 0) throw error;
  return culprits;
}
