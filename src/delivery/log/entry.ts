import type { Rejection } from '../../errors.ts';
import type { Batch, Keys } from '../../message/batch.ts';

/** What the log keeps of one batch. */
export interface Entry {
  /** What goes on to the pipeline; may be empty. */
  readonly batch: Batch;
  /** What the codec rejected, still to be written to `error_output`: as `Intake.rejected`. */
  readonly rejected?: { readonly batch: Batch; readonly rejections: readonly Rejection[] } | undefined;
  readonly keys?: Keys | undefined;
}

/** An entry as it was read from the log, with its number. Numbers count up from 1 over the life of a log. */
export interface StoredEntry extends Entry {
  readonly number: number;
}
