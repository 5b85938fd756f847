import type { Rejection } from '../errors.ts';
import { concatBatches, type Batch } from './batch.ts';
import { createReceipt, type Receipt } from './receipt.ts';

/** Messages on their way, and the promise that they are taken care of. */
export interface Delivery {
  readonly batch: Batch;
  readonly receipt: Receipt;
}

/** Keys by which an input recognizes repeated messages. They are stored together with those messages. */
export interface Keys {
  /** The owner of the keys: the inputs of one stream share none. */
  readonly space: string;
  /** Each begins with its owner, as `ownerOf` reads it. */
  readonly keys: readonly string[];
  /** Expiry, in milliseconds since the epoch. */
  readonly expires: number;
  /** How many keys of the space are remembered. When there are more, the owner with the most loses its oldest first. */
  readonly max: number;
}

/** The delivery of an input. */
export interface InputDelivery extends Delivery {
  /** When the delivery is done, in a stream with a log. The default, `stored`, means as soon as the log has it. */
  readonly confirm?: 'stored' | 'delivered' | undefined;
  readonly keys?: Keys | undefined;
  /** Messages in `batch` that the input itself rejects, because their framing is wrong. */
  readonly refused?: readonly Rejection[] | undefined;
  /**
   * Messages of the delivery that were rejected before or by its codec; `batch` holds everything that the codec
   * received.
   */
  readonly rejected?: Rejected | undefined;
}

/** The rejected messages of a batch. */
export interface Rejected {
  readonly batch: Batch;
  readonly rejections: readonly Rejection[];
}

/** Several deliveries as one, in order. Its outcome is the outcome of each. */
export function joinDeliveries(parts: readonly Delivery[]): Delivery {
  if (parts.length === 1) return parts[0]!;
  const starts: number[] = [];
  let length = 0;
  for (const { batch } of parts) {
    starts.push(length);
    length += batch.length;
  }
  return {
    batch: concatBatches(parts.map(({ batch }) => batch)),
    receipt: createReceipt({
      settled(error) {
        for (const { receipt } of parts) {
          if (error === undefined) receipt.done();
          else receipt.failed(error);
        }
      },
      rejected: (rejected) => tellParts(parts, starts, rejected),
      parked() {
        for (const { receipt } of parts) receipt.park();
      },
    }),
  };
}

/**
 * Tells each part which of its messages were rejected; `index` is the place among all parts together. A window may have
 * tens of thousands of parts and rejections, so this finds the part of each rejection and walks neither list twice.
 */
function tellParts(
  parts: readonly Delivery[],
  starts: readonly number[],
  rejected: readonly Rejection[],
): void {
  const sorted = rejected.filter(({ index }) => index >= 0).toSorted((a, b) => a.index - b.index);
  for (let next = 0; next < sorted.length;) {
    const at = partOf(starts, sorted[next]!.index);
    const { batch, receipt } = parts[at]!;
    const start = starts[at]!;
    const own: Rejection[] = [];
    for (; next < sorted.length && sorted[next]!.index < start + batch.length; next++) {
      own.push({ ...sorted[next]!, index: sorted[next]!.index - start });
    }
    // It belongs to no part: a component counted wrong, and nobody is blamed.
    if (own.length === 0) next++;
    else receipt.fork().done(positioned(batch, own));
  }
}

/** The last part that begins at or before `index`. Other parts that begin there are empty. */
function partOf(starts: readonly number[], index: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Rejections of messages of the batch, by their positions in their delivery. */
export function positioned(batch: Batch, rejections: readonly Rejection[]): Rejection[] {
  const known: Rejection[] = [];
  for (const rejection of rejections) {
    const index = batch.positionAt(rejection.index);
    if (index !== undefined) known.push({ ...rejection, index });
  }
  return known;
}
