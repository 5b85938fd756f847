import { Contiguous } from '../../delivery/contiguous.ts';
import type { Origin } from '../../message/batch.ts';
import { holds, type Session } from '../session.ts';

/** The rough cost of a waiting reply besides its payload: two buffers and the stream's entries for them. In bytes. */
const REPLY_COST = 256;

/** The most bytes that may wait to be sent to a session before the session is no longer read. */
const MAX_WAITING = 256 * 1024;

const ledgers = new WeakMap<Origin, Ledger>();

/** The ledger of the session of an origin, if it has one. */
export function ledgerOf(origin: Origin): Ledger | undefined {
  return ledgers.get(origin);
}

/** Tracks which messages of one session are confirmed. */
export class Ledger {
  readonly session: Session;
  /** The number of messages that have arrived and are not confirmed. */
  pending = 0;
  readonly #done = new Contiguous(1);
  readonly #limit: number;
  #unwritten = 0;

  /** The session is held at `limit` pending messages, and released at half of them. */
  constructor(session: Session, limit: number) {
    this.session = session;
    this.#limit = limit;
    ledgers.set(session.origin, this);
  }

  /** The number up to which all messages are confirmed. */
  get confirmed(): number {
    return this.#done.first - 1;
  }

  /** Counts a message that has arrived. */
  arrived(): void {
    if (++this.pending >= this.#limit) this.session.hold(holds.unconfirmed);
  }

  /** Marks the messages from `first` to `last` as confirmed. */
  confirm(first: number, last: number): void {
    this.#done.add(first, last);
    this.pending -= last - first + 1;
    if (this.pending <= this.#limit / 2) this.session.release(holds.unconfirmed);
  }

  /**
   * Call when the session has been given `count` replies. Returns the function to call when it has sent the last of
   * them. A session whose peer does not read its replies is not read either.
   */
  handed(count: number): () => void {
    this.#unwritten += count;
    return () => {
      this.#unwritten -= count;
      if (this.#unwritten === 0 || this.#waiting <= MAX_WAITING / 2) this.session.release(holds.replies);
    };
  }

  /** Call when the replies of a batch are on their way. */
  holdIfFull(): void {
    // Without waiting bytes, the system has taken all of them, and only says so a little later.
    if (this.session.socket.bufferedAmount > 0 && this.#waiting > MAX_WAITING) {
      this.session.hold(holds.replies);
    }
  }

  get #waiting(): number {
    return this.session.socket.bufferedAmount + this.#unwritten * REPLY_COST;
  }
}
