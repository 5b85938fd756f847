import type { Rejection } from '../errors.ts';
import { concatBatches, positionIn, runIndexOf, type Batch, type Positions } from './batch.ts';
import { createReceipt, type LogEntries, type Receipt, type ReceiptEvents } from './receipt.ts';

/** Messages on their way, and the promise that they are taken care of. */
export interface Delivery {
  readonly batch: Batch;
  readonly receipt: Receipt;
  /**
   * The number of the log entry that the delivery is, or that processors made it of directly. A delivery that was kept,
   * joined, or divided by time or count has none: after a restart it may differ.
   */
  readonly entry?: number | undefined;
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

/**
 * Several deliveries as one for each format of their messages, in order; none of none. Its outcome is the outcome of
 * each of its parts. JSON and bytes have no format in common, and inputs with different codecs keep theirs. Those that
 * are revoked are left out.
 */
export function joinDeliveries(deliveries: readonly Delivery[]): Delivery[] {
  const open = deliveries.filter((each) => !isRevoked(each));
  if (open.length < 2) return open;
  return [...Map.groupBy(open, ({ batch }) => batch.format).values()].map(joinAlike);
}

function joinAlike(deliveries: readonly Delivery[]): Delivery {
  if (deliveries.length === 1) return deliveries[0]!;
  const parts: Part[] = [];
  let start = 0;
  for (const { batch, receipt } of deliveries) {
    parts.push({ receipt, start, length: batch.length, positions: batch.parts.positions });
    start += batch.length;
  }
  return { batch: concatBatches(deliveries.map(({ batch }) => batch)), receipt: joinedReceipt(parts) };
}

/** Whether its messages were taken back from the component that had kept them. */
export function isRevoked({ receipt }: Delivery): boolean {
  return receipt.revoked === true;
}

/** A delivery that was joined with others. Its messages are not kept: a receipt may be parked for hours. */
interface Part {
  readonly receipt: Receipt;
  /** The place of its first message among all parts. */
  readonly start: number;
  readonly length: number;
  readonly positions: Positions;
}

function joinedReceipt(parts: readonly Part[]): Receipt {
  const events: ReceiptEvents = {
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
  };
  return createReceipt(events, entriesOf(parts));
}

/** From the first entry of any of them to the last. */
function entriesOf(parts: readonly Part[]): LogEntries | undefined {
  let all: LogEntries | undefined;
  for (const { receipt } of parts) {
    const { entries } = receipt;
    if (all === undefined || entries === undefined) all ??= entries;
    else if (entries.first < all.first || entries.last > all.last) {
      const { log } = all;
      all = { log, first: Math.min(all.first, entries.first), last: Math.max(all.last, entries.last) };
    }
  }
  return all;
}

/**
 * Tells each part which of its messages were rejected; `index` is the place among all parts together. A window may have
 * tens of thousands of parts and rejections, so this finds the part of each rejection and walks neither list twice.
 */
function tellParts(parts: readonly Part[], rejected: readonly Rejection[]): void {
  const sorted = rejected.filter(({ index }) => index >= 0).toSorted((a, b) => a.index - b.index);
  for (let next = 0; next < sorted.length;) {
    const { receipt, start, length, positions } = parts[runIndexOf(parts, sorted[next]!.index)]!;
    const own: Rejection[] = [];
    for (; next < sorted.length && sorted[next]!.index < start + length; next++) {
      own.push({ ...sorted[next]!, index: sorted[next]!.index - start });
    }
    // It belongs to no part: a component counted wrong, and nobody is blamed.
    if (own.length === 0) next++;
    else receipt.fork().done(own.flatMap((each) => positionedIn(positions, each) ?? []));
  }
}

/** Rejections of messages of the batch, by their positions in their delivery. */
export function positioned(batch: Batch, rejections: readonly Rejection[]): Rejection[] {
  const { positions } = batch.parts;
  return rejections.flatMap((rejection) => positionedIn(positions, rejection) ?? []);
}

function positionedIn(positions: Positions, rejection: Rejection): Rejection | undefined {
  const index = positionIn(positions, rejection.index);
  return index === undefined ? undefined : { ...rejection, index };
}
