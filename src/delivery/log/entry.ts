import type { Batch } from '../../message/batch.ts';
import type { Keys, Rejected } from '../../message/delivery.ts';

/** What the log keeps of one batch. */
export interface Entry {
  /** What goes on to the pipeline; may be empty. */
  readonly batch: Batch;
  /** What the codec rejected, still to be written to `error_output`: as `InputDelivery.rejected`. */
  readonly rejected?: Rejected | undefined;
  readonly keys?: Keys | undefined;
}

/** An entry as it was read from the log, with its number. Numbers count up from 1 over the life of a log. */
export interface StoredEntry extends Entry {
  readonly number: number;
}
