import type { Ending } from '../ending.ts';
import { holds, type Session } from '../session.ts';
import { limitKeyOf } from './limit-key.ts';

export interface Rate {
  /** Messages per second; undefined for no limit. */
  readonly messages: number | undefined;
  readonly bytes: number | undefined;
  /** The treatment of a session that sends more. */
  readonly over: 'pause' | 'close';
  /** Those who share a rate. */
  readonly per: 'connection' | 'subject' | 'address';
}

/** The shortest interval between checks of waiting sessions, in milliseconds. */
const SHORTEST_WAIT = 10;
/** The longest interval, in milliseconds. */
const LONGEST_WAIT = 60_000;

/** How long a peer that has sent too much has to answer the close, in milliseconds: it may go on sending meanwhile. */
const GRACE = 2_000;

/** The number of accounts without sessions to remember while they are in debt; beyond it, the first is forgotten. */
const MAX_GONE = 10_000;

/**
 * Holds sessions to a rate of messages and bytes: a token bucket with one second's worth, for each session, or for all
 * of one subject or address. Data that one read of the socket brings beyond the bucket is a debt, and the session is
 * not read until time has paid it off. One timer serves all that wait.
 */
export class RateLimit {
  readonly #rate: Rate;
  readonly #allowances = new Map<Session, Allowance>();
  /** The accounts that have sessions, by the subject or address that these share. */
  readonly #accounts = new Map<string, Account>();
  /** The accounts that have no session now, in the order in which the last one left. */
  readonly #gone = new Map<string, Account>();
  readonly #waiting = new Set<Allowance>();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires. */
  #due = Infinity;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** The number of remembered accounts without sessions. */
  get gone(): number {
    return this.#gone.size;
  }

  add(session: Session): void {
    const allowance = new Allowance(session, this.#accountOf(session), this.#rate, this.#wait);
    this.#allowances.set(session, allowance);
    allowance.begin();
  }

  remove(session: Session): void {
    const allowance = this.#allowances.get(session)!;
    this.#waiting.delete(allowance);
    this.#allowances.delete(session);
    if (this.#waiting.size === 0) this.#lookIn(Infinity);
    const { account } = allowance;
    account.sessions--;
    if (account.sessions > 0 || account.name === undefined) return;
    this.#accounts.delete(account.name);
    this.#forgetGone();
    if (!account.full) this.#gone.set(account.name, account);
  }

  /** Counts a message of `size` bytes; false if it must not be taken, because the session is being closed. */
  take(session: Session, size: number): boolean {
    return this.#allowances.get(session)!.take(size);
  }

  #accountOf(session: Session): Account {
    const name = this.#nameOf(session);
    const known = name === undefined ? undefined : (this.#accounts.get(name) ?? this.#gone.get(name));
    const account = known ?? new Account(name, this.#rate);
    account.sessions++;
    if (name !== undefined) {
      this.#gone.delete(name);
      this.#accounts.set(name, account);
    }
    return account;
  }

  #nameOf({ ext, remoteAddress }: Session): string | undefined {
    const { per } = this.#rate;
    if (per === 'connection') return undefined;
    return limitKeyOf(per === 'subject' ? ext : { remote_address: remoteAddress });
  }

  #forgetGone(): void {
    for (const [name, account] of this.#gone) {
      if (this.#gone.size < MAX_GONE && !account.full) return;
      this.#gone.delete(name);
    }
  }

  readonly #wait = (allowance: Allowance): void => {
    this.#waiting.add(allowance);
    const wait = allowance.account.wait();
    if (performance.now() + wait < this.#due) this.#lookIn(wait);
  };

  /** Schedules a check in `wait` milliseconds; none if that is infinite. */
  #lookIn(wait: number): void {
    clearTimeout(this.#timer);
    const delay = Math.min(Math.max(wait, SHORTEST_WAIT), LONGEST_WAIT);
    this.#due = wait === Infinity ? Infinity : performance.now() + delay;
    this.#timer = wait === Infinity ? undefined : setTimeout(this.#look, delay);
  }

  readonly #look = (): void => {
    let next = Infinity;
    for (const allowance of this.#waiting) {
      const wait = allowance.account.wait();
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

/** The remaining allowance of the sessions that share a rate. */
class Account {
  /** Undefined for the account of a single session. */
  readonly name: string | undefined;
  sessions = 0;
  readonly #messages: Bucket | undefined;
  readonly #bytes: Bucket | undefined;

  constructor(name: string | undefined, { messages, bytes }: Rate) {
    this.name = name;
    const now = performance.now();
    this.#messages = messages === undefined ? undefined : new Bucket(messages, now);
    this.#bytes = bytes === undefined ? undefined : new Bucket(bytes, now);
  }

  /** Whether nothing that they sent counts any more. */
  get full(): boolean {
    const now = performance.now();
    return (this.#messages?.isFull(now) ?? true) && (this.#bytes?.isFull(now) ?? true);
  }

  get over(): Ending['reason'] | undefined {
    if (this.#messages?.empty === true) return 'too many messages a second';
    return this.#bytes?.empty === true ? 'too many bytes a second' : undefined;
  }

  take(size: number): void {
    const now = performance.now();
    this.#messages?.take(1, now);
    this.#bytes?.take(size, now);
  }

  /** How long until they may send again, in milliseconds; 0 if they may now. */
  wait(): number {
    const now = performance.now();
    return Math.max(this.#messages?.wait(now) ?? 0, this.#bytes?.wait(now) ?? 0);
  }
}

/** One session's use of its account. */
class Allowance {
  readonly session: Session;
  readonly account: Account;
  readonly #over: Rate['over'];
  readonly #wait: (allowance: Allowance) => void;
  #closed = false;

  constructor(session: Session, account: Account, rate: Rate, wait: (allowance: Allowance) => void) {
    this.session = session;
    this.account = account;
    this.#over = rate.over;
    this.#wait = wait;
  }

  /** Holds the session at once if its account is already in debt. */
  begin(): void {
    if (this.#over === 'pause' && this.account.wait() > 0) this.#hold();
  }

  /** As `RateLimit.take`. */
  take(size: number): boolean {
    if (this.#closed) return false;
    this.account.take(size);
    const { over } = this.account;
    if (over === undefined) return true;
    if (this.#over === 'close') {
      this.#closed = true;
      this.session.expel({ code: 1008, reason: over }, GRACE);
      return false;
    }
    if (!this.session.isHeld(holds.rate)) this.#hold();
    return true;
  }

  #hold(): void {
    this.session.hold(holds.rate);
    this.#wait(this);
  }
}

class Bucket {
  readonly #rate: number;
  readonly #size: number;
  #tokens: number;
  #at: number;

  constructor(rate: number, now: number) {
    this.#rate = rate;
    // One message is always allowed, however low the rate.
    this.#size = Math.max(1, rate);
    this.#tokens = this.#size;
    this.#at = now;
  }

  /** True if more has been taken than there was. */
  get empty(): boolean {
    return this.#tokens < 0;
  }

  isFull(now: number): boolean {
    this.#fill(now);
    return this.#tokens === this.#size;
  }

  take(tokens: number, now: number): void {
    this.#fill(now);
    this.#tokens -= tokens;
  }

  /** The milliseconds until it is no longer empty. */
  wait(now: number): number {
    this.#fill(now);
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rate) * 1000;
  }

  #fill(now: number): void {
    this.#tokens = Math.min(this.#size, this.#tokens + ((now - this.#at) / 1000) * this.#rate);
    this.#at = now;
  }
}
