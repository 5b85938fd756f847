import type { Ending } from '../ending.ts';
import { holds, type Session } from '../session.ts';

export interface Rate {
  /** A second; undefined is as many as it likes. */
  readonly messages: number | undefined;
  readonly bytes: number | undefined;
  /** What is done with a session that sends more. */
  readonly over: 'pause' | 'close';
}

/** Sessions that wait are looked at this often at most, in milliseconds. */
const SHORTEST_WAIT = 10;
/** And this often at least. */
const LONGEST_WAIT = 60_000;

/** How long a peer that has sent too much has to answer the close, in milliseconds: it may be sending on meanwhile. */
const GRACE = 2_000;

/**
 * Keeps each session to a rate of messages and bytes: a token bucket that holds a second's worth. What one read of the
 * socket brings beyond it is a debt, and the session is not read until time has paid it off. One timer serves all who
 * wait.
 */
export class RateLimit {
  readonly #rate: Rate;
  readonly #allowances = new Map<Session, Allowance>();
  readonly #waiting = new Set<Allowance>();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires. */
  #due = Infinity;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  add(session: Session): void {
    this.#allowances.set(session, new Allowance(session, this.#rate, this.#wait));
  }

  remove(session: Session): void {
    this.#waiting.delete(this.#allowances.get(session)!);
    this.#allowances.delete(session);
    if (this.#waiting.size === 0) this.#lookIn(Infinity);
  }

  /** Counts a message of `size` bytes; false when it is not to be taken, because the session is being closed. */
  take(session: Session, size: number): boolean {
    return this.#allowances.get(session)!.take(size);
  }

  readonly #wait = (allowance: Allowance): void => {
    this.#waiting.add(allowance);
    const wait = allowance.wait();
    if (performance.now() + wait < this.#due) this.#lookIn(wait);
  };

  /** In `wait` milliseconds; not at all if that is for ever. */
  #lookIn(wait: number): void {
    clearTimeout(this.#timer);
    const delay = Math.min(Math.max(wait, SHORTEST_WAIT), LONGEST_WAIT);
    this.#due = wait === Infinity ? Infinity : performance.now() + delay;
    this.#timer = wait === Infinity ? undefined : setTimeout(this.#look, delay);
  }

  readonly #look = (): void => {
    let next = Infinity;
    for (const allowance of this.#waiting) {
      const wait = allowance.wait();
      if (wait > 0) {
        next = Math.min(next, wait);
        continue;
      }
      this.#waiting.delete(allowance);
      allowance.session.release(holds.rate);
    }
    this.#lookIn(next);
  };
}

/** What one session may still send. */
class Allowance {
  readonly session: Session;
  readonly #rate: Rate;
  readonly #wait: (allowance: Allowance) => void;
  #messages: Bucket | undefined;
  #bytes: Bucket | undefined;
  #closed = false;

  constructor(session: Session, rate: Rate, wait: (allowance: Allowance) => void) {
    this.session = session;
    this.#rate = rate;
    this.#wait = wait;
    const now = performance.now();
    this.#messages = rate.messages === undefined ? undefined : new Bucket(rate.messages, now);
    this.#bytes = rate.bytes === undefined ? undefined : new Bucket(rate.bytes, now);
  }

  /** As `RateLimit.take`. */
  take(size: number): boolean {
    if (this.#closed) return false;
    const now = performance.now();
    this.#messages?.take(1, now);
    this.#bytes?.take(size, now);
    const over = this.#over;
    if (over === undefined) return true;
    if (this.#rate.over === 'close') {
      this.#closed = true;
      this.session.expel({ code: 1008, reason: over }, GRACE);
      return false;
    }
    if (this.session.isHeld(holds.rate)) return true;
    this.session.hold(holds.rate);
    this.#wait(this);
    return true;
  }

  /** How long until it may send again, in milliseconds; 0 when it may. */
  wait(): number {
    const now = performance.now();
    return Math.max(this.#messages?.wait(now) ?? 0, this.#bytes?.wait(now) ?? 0);
  }

  get #over(): Ending['reason'] | undefined {
    if (this.#messages?.empty === true) return 'too many messages a second';
    return this.#bytes?.empty === true ? 'too many bytes a second' : undefined;
  }
}

class Bucket {
  readonly #rate: number;
  readonly #size: number;
  #tokens: number;
  #at: number;

  constructor(rate: number, now: number) {
    this.#rate = rate;
    // One message may always come, however rare they shall be.
    this.#size = Math.max(1, rate);
    this.#tokens = this.#size;
    this.#at = now;
  }

  /** True when more has been taken than there was. */
  get empty(): boolean {
    return this.#tokens < 0;
  }

  take(tokens: number, now: number): void {
    this.#fill(now);
    this.#tokens -= tokens;
  }

  /** Milliseconds until it is no longer empty. */
  wait(now: number): number {
    this.#fill(now);
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rate) * 1000;
  }

  #fill(now: number): void {
    this.#tokens = Math.min(this.#size, this.#tokens + ((now - this.#at) / 1000) * this.#rate);
    this.#at = now;
  }
}
