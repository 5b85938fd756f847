import type { OpenSession, Outgoing } from '../component/sessions.ts';

/**
 * The time that may be lost to all sessions that take less than they should, in total, in milliseconds. A session that
 * confirms its messages does so only now and then, and has only its own time.
 */
const TOGETHER = 4_000;

/** The share of one such session, in multiples of its own `patience`. */
const OWN = 2;

/** The fraction of the time that is regained. */
const REFILL = 0.1;

/** The least time that each session gets, in milliseconds: one that reads well shows it sooner. */
const LEAST = 200;

/** The same for a session that confirms its messages once a second. */
const LEAST_CONFIRMED = 1_500;

/** An account of time that can be lost. It is regained slowly, or at once by a session that takes more than it must. */
class Credit {
  readonly #most: number;
  #left: number;
  #at = performance.now();

  constructor(most: number) {
    this.#most = most;
    this.#left = most;
  }

  get left(): number {
    const now = performance.now();
    this.#left = Math.min(this.#most, this.#left + (now - this.#at) * REFILL);
    this.#at = now;
    return this.#left;
  }

  spend(time: number): void {
    this.#left = Math.max(0, Math.min(this.#most, this.left - time));
  }
}

/**
 * Waits for sessions whose buffers are full, so that none that reads counts as slow: a session that takes data at the
 * expected rate is waited for, however long it takes. Everybody who waits loses the extra time that other sessions
 * take; so each of those, and all together, get little of it.
 */
export class Patience {
  readonly #own = new WeakMap<Outgoing, Credit>();
  readonly #all: Credit;
  readonly #alone: boolean;

  /** With `alone`, each session has its own time and no more, whatever others lose. */
  constructor(options: { alone?: boolean } = {}) {
    this.#alone = options.alone === true;
    this.#all = new Credit(this.#alone ? Infinity : TOGETHER);
  }

  /**
   * Resolves with true when there is room or the session has closed, and with false when it is slow. The sockets must
   * have had a turn before.
   * @param rate the least rate at which it must take data, in bytes per second
   */
  async wait(
    session: OpenSession,
    hasRoom: () => boolean,
    rate: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { outgoing } = session;
    let own = this.#own.get(outgoing);
    if (own === undefined) this.#own.set(outgoing, (own = new Credit(OWN * outgoing.patience)));
    // The process itself may have been busy meanwhile. Since sessions are waited for at the same time, this costs
    // little.
    let granted = this.#alone ? (outgoing.confirmed ? LEAST_CONFIRMED : LEAST) : 0;
    for (;;) {
      const credit = outgoing.confirmed ? own.left : Math.min(own.left, this.#all.left);
      // When its buffer is finally full, it has taken nothing for some time; that time counts.
      const most = Math.max(granted, Math.min(outgoing.patience - outgoing.stalled, Math.max(credit, LEAST)));
      granted = 0;
      if (most <= 0) return false;
      const { taken } = outgoing;
      const start = performance.now();
      const settled = await outgoing.until(hasRoom, signal, most);
      const lost = performance.now() - start - ((outgoing.taken - taken) / rate) * 1_000;
      own.spend(lost);
      this.#all.spend(lost);
      if (settled || !session.open) return true;
      if (lost > 0 && credit <= LEAST) return false;
    }
  }
}
