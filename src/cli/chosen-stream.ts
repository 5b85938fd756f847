import { nearest } from '../config/nearest.ts';
import type { StreamPlan } from '../runtime/plan.ts';
import { UsageError } from './shell.ts';

/**
 * The index of the stream that `--stream` names.
 * @throws UsageError when it is not clear which stream is meant
 */
export function chosenStream(streams: readonly StreamPlan[], id: string | undefined, config: string): number {
  const ids = streams.map((stream) => stream.id);
  if (id === undefined) {
    if (streams.length === 1) return 0;
    throw new UsageError(`${config} has ${streams.length} streams: give --stream, one of ${ids.join(', ')}`);
  }
  const index = ids.indexOf(id);
  if (index >= 0) return index;
  const meant = nearest(id, ids);
  const hint = meant === undefined ? `it has ${ids.join(', ')}` : `did you mean ${meant}?`;
  throw new UsageError(`--stream ${id}: ${config} has no such stream; ${hint}`);
}
