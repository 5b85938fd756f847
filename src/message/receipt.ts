import type { Rejection } from '../errors.ts';

/**
 * The promise that a delivery is taken care of. Exactly one of `done` and `failed` takes effect, once; later calls do
 * nothing.
 *
 * Use `fork` to make several deliveries of one, or to keep messages for later: the delivery is settled when every fork
 * is, with the first error if one of them failed.
 */
export interface Receipt {
  /**
   * Everything was delivered or dropped on purpose, except `rejected`: the `index` of each is its position in the
   * delivery.
   */
  done(rejected?: readonly Rejection[]): void;
  /** The delivery could not be taken care of: its giver keeps it, or is told. */
  failed(error: unknown): void;
  fork(): Receipt;
  /**
   * The delivery is kept as state for any length of time: it no longer counts as in flight, and is not yet confirmed.
   * It is settled later, as if it had not been parked.
   */
  park(): void;
  /** Those whose messages it is for; undefined in a stream without a log. */
  readonly entries?: LogEntries | undefined;
  /** True when its messages were taken from a component that had kept them: nobody is to have them from it any more. */
  readonly revoked?: boolean;
}

/** A run of entries of a stream's log. */
export interface LogEntries {
  /** Tells the log from every other: one that is removed and begun anew is another. */
  readonly log: string;
  readonly first: number;
  readonly last: number;
}

/** The events of a receipt, for its maker. */
export interface ReceiptEvents {
  /**
   * Called once, at the end: without an error if everything was taken care of, with all messages rejected on the way.
   */
  settled(error: unknown, rejected: readonly Rejection[]): void;
  /** Called for messages that are rejected while others are still on their way. */
  rejected?(rejected: readonly Rejection[]): void;
  /** Called once, when every open fork is parked. */
  parked?(): void;
}

/** A receipt that reports to `events`. */
export function createReceipt(events: ReceiptEvents, entries?: LogEntries): Receipt {
  return new Tree(events, entries).fork();
}

/**
 * A receipt that reports a delivery's end to `settled`, and its parking to `parked`, and then passes both on to
 * `receipt`.
 */
export function relayReceipt(
  receipt: Receipt,
  settled: ReceiptEvents['settled'],
  parked?: () => void,
  entries = receipt.entries,
): Receipt {
  const events: ReceiptEvents = {
    settled(error, rejected) {
      settled(error, rejected);
      if (error === undefined) receipt.done();
      else receipt.failed(error);
    },
    rejected: (rejected) => receipt.fork().done(rejected),
    parked() {
      parked?.();
      receipt.park();
    },
  };
  return createReceipt(events, entries);
}

/** Settles the receipt of messages that a component has kept, and takes them from it: they go elsewhere. */
export function revoke(receipt: Receipt): void {
  if (receipt instanceof Fork) receipt.revoke();
  else receipt.done();
}

/** For deliveries that nobody waits for. */
export const noReceipt: Receipt = { done: () => {}, failed: () => {}, fork: () => noReceipt, park: () => {} };

const NONE: readonly Rejection[] = [];

/** All forks of a receipt. */
class Tree {
  readonly #events: ReceiptEvents;
  readonly entries: LogEntries | undefined;
  /** Forks that are not settled. */
  #open = 0;
  /** Forks that are neither settled nor parked. */
  #active = 0;
  #isParked = false;
  #failure: { readonly error: unknown } | undefined;
  #rejected: Rejection[] | undefined;

  constructor(events: ReceiptEvents, entries: LogEntries | undefined) {
    this.#events = events;
    this.entries = entries;
  }

  fork(): Receipt {
    this.#open++;
    this.#active++;
    return new Fork(this);
  }

  get isSettled(): boolean {
    return this.#open === 0;
  }

  settle(wasParked: boolean, failure: { readonly error: unknown } | undefined, rejected = NONE): void {
    this.#failure ??= failure;
    if (rejected.length > 0) {
      // Thousands may arrive one by one, so the list is not copied for each.
      this.#rejected ??= [];
      for (const each of rejected) this.#rejected.push(each);
      this.#events.rejected?.(rejected);
    }
    this.#open--;
    if (!wasParked) this.#active--;
    if (this.#open === 0) this.#events.settled(this.#failure?.error, this.#rejected ?? NONE);
    else this.#tellParked();
  }

  park(): void {
    this.#active--;
    this.#tellParked();
  }

  #tellParked(): void {
    if (this.#active > 0 || this.#isParked) return;
    this.#isParked = true;
    this.#events.parked?.();
  }
}

class Fork implements Receipt {
  readonly #tree: Tree;
  #state: 'active' | 'parked' | 'settled' = 'active';
  #isRevoked = false;

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  get revoked(): boolean {
    return this.#isRevoked;
  }

  revoke(): void {
    this.#isRevoked = true;
    this.done();
  }

  get entries(): LogEntries | undefined {
    return this.#tree.entries;
  }

  done(rejected?: readonly Rejection[]): void {
    this.#settle(undefined, rejected);
  }

  failed(error: unknown): void {
    // Without an error, the delivery would look successful, and its messages would be lost.
    this.#settle({ error: error ?? new Error('refused without a reason') });
  }

  fork(): Receipt {
    return this.#tree.isSettled ? noReceipt : this.#tree.fork();
  }

  park(): void {
    if (this.#state !== 'active') return;
    this.#state = 'parked';
    this.#tree.park();
  }

  #settle(failure: { readonly error: unknown } | undefined, rejected?: readonly Rejection[]): void {
    const before = this.#state;
    if (before === 'settled') return;
    this.#state = 'settled';
    this.#tree.settle(before === 'parked', failure, rejected);
  }
}
