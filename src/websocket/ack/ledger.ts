import { Contiguous } from '../../delivery/contiguous.ts';
import type { Origin } from '../../message/batch.ts';
import { holds, type Session } from '../session.ts';

/** How much a reply that waits costs besides its payload, roughly: two buffers and the stream's entries for them. */
const REPLY_COST = 256;

/** What may wait to be sent to a session before it is no longer read, in bytes. */
const MAX_WAITING = 256 * 1024;

const ledgers = new WeakMap<Origin, Ledger>();

/** The ledger of the session that messages came from, if it has one. */
export function ledgerOf(origin: Origin): Ledger | undefined {
  return ledgers.get(origin);
}

/** Which messages of one session are confirmed. */
export class Ledger {
  readonly session: Session;
  /** Messages that have arrived and are not confirmed. */
  pending = 0;
  readonly #done = new Contiguous(1);
  readonly #limit: number;
  #unwritten = 0;

  /** At `limit` pending messages the session is held, at half of them it is released. */
  constructor(session: Session, limit: number) {
    this.session = session;
    this.#limit = limit;
    ledgers.set(session.origin, this);
  }

  /** All up to this number are confirmed. */
  get confirmed(): number {
    return this.#done.first - 1;
  }

  /** A message has arrived. */
  arrived(): void {
    if (++this.pending >= this.#limit) this.session.hold(holds.unconfirmed);
  }

  /** The messages from `first` to `last` are confirmed. */
  confirm(first: number, last: number): void {
    this.#done.add(first, last);
    this.pending -= last - first + 1;
    if (this.pending <= this.#limit / 2) this.session.release(holds.unconfirmed);
  }

  /**
   * `count` replies have been handed to the session; gives what is to be called when it has sent the last of them. One
   * whose peer does not read them is not read either.
   */
  handed(count: number): () => void {
    this.#unwritten += count;
    return () => {
      this.#unwritten -= count;
      if (this.#unwritten === 0 || this.#waiting <= MAX_WAITING / 2) this.session.release(holds.replies);
    };
  }

  /** To be called when the replies of a batch are on their way. */
  holdIfFull(): void {
    // Without bytes the system has taken all of them, and only says so a little later.
    if (this.session.socket.bufferedAmount > 0 && this.#waiting > MAX_WAITING) {
      this.session.hold(holds.replies);
    }
  }

  get #waiting(): number {
    return this.session.socket.bufferedAmount + this.#unwritten * REPLY_COST;
  }
}
