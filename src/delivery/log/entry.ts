import type { Batch } from '../../message/batch.ts';
import type { Keys, Rejected } from '../../message/delivery.ts';

/** The log's entry for one batch. */
export interface Entry {
  /** The batch for the pipeline; may be empty. */
  readonly batch: Batch;
  /** The messages that the codec rejected, not yet written to `error_output`; like `InputDelivery.rejected`. */
  readonly rejected?: Rejected | undefined;
  readonly keys?: Keys | undefined;
}

/** An entry read from the log, with its number. Numbers count up from 1 over the life of a log. */
export interface StoredEntry extends Entry {
  readonly number: number;
}
