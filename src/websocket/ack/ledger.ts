import type { Origin } from '../../message/batch.ts';
import { holds, type Session } from '../session.ts';

/** How much a reply that waits costs besides its payload, roughly: two buffers and the stream's entries for them. */
const REPLY_COST = 256;

/** What may wait to be sent to a session before it is no longer read, in bytes. */
const MAX_WAITING = 256 * 1024;

interface Range {
  readonly first: number;
  readonly last: number;
}

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
  /** All up to this number are confirmed. */
  confirmed = 0;
  /** Those beyond it that are, in order and with gaps between them. */
  #ahead: Range[] = [];
  readonly #limit: number;
  #unwritten = 0;

  /** At `limit` pending messages the session is held, at half of them it is released. */
  constructor(session: Session, limit: number) {
    this.session = session;
    this.#limit = limit;
    ledgers.set(session.origin, this);
  }

  /** A message has arrived. */
  arrived(): void {
    if (++this.pending >= this.#limit) this.session.hold(holds.unconfirmed);
  }

  /** The messages from `first` to `last` are confirmed. */
  confirm(first: number, last: number): void {
    this.#add({ first, last });
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

  #add(range: Range): void {
    if (range.first > this.confirmed + 1) {
      const after = this.#ahead.findIndex(({ first }) => first > range.last);
      const place = after < 0 ? this.#ahead.length : after;
      const before = this.#ahead[place - 1];
      const next = this.#ahead[place];
      const joinsBefore = before !== undefined && before.last + 1 === range.first;
      const joinsNext = next !== undefined && range.last + 1 === next.first;
      const joined = {
        first: joinsBefore ? before.first : range.first,
        last: joinsNext ? next.last : range.last,
      };
      this.#ahead.splice(place - Number(joinsBefore), Number(joinsBefore) + Number(joinsNext), joined);
      return;
    }
    this.confirmed = range.last;
    if (this.#ahead[0]?.first === this.confirmed + 1) this.confirmed = this.#ahead.shift()!.last;
  }
}
