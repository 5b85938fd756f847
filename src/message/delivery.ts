import type { Rejection } from '../errors.ts';
import { concatBatches, type Batch } from './batch.ts';
import { createReceipt, type Receipt } from './receipt.ts';

/** Messages on their way, and the promise that somebody sees to them. */
export interface Delivery {
  readonly batch: Batch;
  readonly receipt: Receipt;
}

/** Keys by which an input knows messages that come again. They are remembered with the messages that brought them. */
export interface Keys {
  /** Whose keys they are: inputs of one stream don't share theirs. */
  readonly space: string;
  /** Each begins with its owner, as `ownerOf` reads it. */
  readonly keys: readonly string[];
  /** Until when, in milliseconds since the epoch. */
  readonly expires: number;
  /** How many of the space are remembered; the oldest of who has most are forgotten first. */
  readonly max: number;
}

/** What an input gives. */
export interface InputDelivery extends Delivery {
  /** When it is done, in a stream with a log: `stored` is as soon as the log has it, which is the default. */
  readonly confirm?: 'stored' | 'delivered' | undefined;
  readonly keys?: Keys | undefined;
  /** Messages in `batch` that the input itself rejects: bytes that are not framed as they should be. */
  readonly refused?: readonly Rejection[] | undefined;
  /** Messages that came with it and that were rejected before and by its codec; `batch` holds all that the codec was given. */
  readonly rejected?: Rejected | undefined;
}

/** Messages that were rejected, of a batch. */
export interface Rejected {
  readonly batch: Batch;
  readonly rejections: readonly Rejection[];
}

/** Several deliveries as one, in order; what becomes of it becomes of each. */
export function joinDeliveries(parts: readonly Delivery[]): Delivery {
  if (parts.length === 1) return parts[0]!;
  return {
    batch: concatBatches(parts.map(({ batch }) => batch)),
    receipt: createReceipt({
      settled(error) {
        for (const { receipt } of parts) {
          if (error === undefined) receipt.done();
          else receipt.failed(error);
        }
      },
      rejected: (rejected) => tellParts(parts, rejected),
      parked() {
        for (const { receipt } of parts) receipt.park();
      },
    }),
  };
}

/** Tells each part which of its messages were rejected; `index` is the place in all of them together. */
function tellParts(parts: readonly Delivery[], rejected: readonly Rejection[]): void {
  let start = 0;
  for (const { batch, receipt } of parts) {
    const end = start + batch.length;
    const own = rejected.filter(({ index }) => index >= start && index < end);
    if (own.length > 0) {
      const from = start;
      receipt.fork().done(
        positioned(
          batch,
          own.map((each) => ({ ...each, index: each.index - from })),
        ),
      );
    }
    start = end;
  }
}

/** Rejections of messages of the batch, by their positions in the delivery that they came with. */
export function positioned(batch: Batch, rejections: readonly Rejection[]): Rejection[] {
  const known: Rejection[] = [];
  for (const rejection of rejections) {
    const index = batch.positionAt(rejection.index);
    if (index !== undefined) known.push({ ...rejection, index });
  }
  return known;
}
