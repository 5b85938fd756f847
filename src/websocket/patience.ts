import type { OpenSession, Outgoing } from '../component/sessions.ts';

/**
 * Time that may be lost to all sessions together that take less than they should, in milliseconds. One that confirms what
 * it has does so now and then, and has its own time alone.
 */
const TOGETHER = 4_000;

/** Time that one of them has of it, in its own `patience`. */
const OWN = 2;

/** The part of the time that comes back. */
const REFILL = 0.1;

/** What each is given in any case: one that reads well shows it in less. In milliseconds. */
const LEAST = 200;

/** The same for one that confirms what it has once a second. */
const LEAST_CONFIRMED = 1_500;

/** Time that can be lost: what has been is regained slowly, and at once by one that takes more than it must. */
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
 * Waits for sessions whose buffers are full, so that none is called slow that reads: one that takes what can be expected
 * is waited for, however long that takes. What others take longer, those who wait lose; so each of them, and all together,
 * have little of it.
 */
export class Patience {
  readonly #own = new WeakMap<Outgoing, Credit>();
  readonly #all: Credit;
  readonly #alone: boolean;

  /** `alone`: each has its own time and no more; what others lose is nothing to it. */
  constructor(options: { alone?: boolean } = {}) {
    this.#alone = options.alone === true;
    this.#all = new Credit(this.#alone ? Infinity : TOGETHER);
  }

  /**
   * Resolves with true when there is room, or the session has closed; with false when it is slow. The sockets must have
   * had a turn before.
   * @param rate what it must take, in bytes a second
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
    // The process may have been busy itself meanwhile. Where they are waited for at the same time, that costs little.
    let granted = this.#alone ? (outgoing.confirmed ? LEAST_CONFIRMED : LEAST) : 0;
    for (;;) {
      const credit = outgoing.confirmed ? own.left : Math.min(own.left, this.#all.left);
      // It has been deaf for some time when its buffer is full at last; then that time counts.
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
