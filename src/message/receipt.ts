import type { Rejection } from '../errors.ts';

/**
 * The promise that a delivery is seen to. Exactly one of `done` and `failed` takes effect, once; later calls do nothing.
 *
 * `fork` is for whoever makes several deliveries of one, or keeps messages for later: the delivery is settled when every
 * fork is, with the first error if one of them failed.
 */
export interface Receipt {
  /** Everything was delivered or dropped on purpose, but for `rejected`: the `index` of each is its position in the delivery. */
  done(rejected?: readonly Rejection[]): void;
  /** It could not be seen to: who gave it keeps it, or is told so. */
  failed(error: unknown): void;
  fork(): Receipt;
  /**
   * It is kept as state, for as long as it takes: it is in flight no more, and still not confirmed. It is settled later,
   * as if it had not been parked.
   */
  park(): void;
}

/** How whoever made a receipt hears of it. */
export interface ReceiptEvents {
  /** Called once, at the end: without an error when everything was seen to, with all that was rejected on the way. */
  settled(error: unknown, rejected: readonly Rejection[]): void;
  /** Called for messages that are rejected while others are still on their way. */
  rejected?(rejected: readonly Rejection[]): void;
  /** Called once, when every fork that is open is parked. */
  parked?(): void;
}

/** A receipt that tells `events`. */
export function createReceipt(events: ReceiptEvents): Receipt {
  return new Tree(events).fork();
}

/** A receipt for what becomes of a delivery: `settled` hears of its end, `parked` of that, and then so does `receipt`. */
export function relayReceipt(
  receipt: Receipt,
  settled: ReceiptEvents['settled'],
  parked?: () => void,
): Receipt {
  return createReceipt({
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
  });
}

/** For deliveries that nobody waits for. */
export const noReceipt: Receipt = { done: () => {}, failed: () => {}, fork: () => noReceipt, park: () => {} };

const NONE: readonly Rejection[] = [];

/** All forks of a receipt. */
class Tree {
  readonly #events: ReceiptEvents;
  /** Those that are not settled. */
  #open = 0;
  /** Those that are neither settled nor parked. */
  #active = 0;
  #isParked = false;
  #failure: { readonly error: unknown } | undefined;
  #rejected = NONE;

  constructor(events: ReceiptEvents) {
    this.#events = events;
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
      this.#rejected = this.#rejected.length === 0 ? rejected : [...this.#rejected, ...rejected];
      this.#events.rejected?.(rejected);
    }
    this.#open--;
    if (!wasParked) this.#active--;
    if (this.#open === 0) this.#events.settled(this.#failure?.error, this.#rejected);
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

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  done(rejected?: readonly Rejection[]): void {
    this.#settle(undefined, rejected);
  }

  failed(error: unknown): void {
    // Without an error it would look as if all were well, and the messages would be lost.
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
