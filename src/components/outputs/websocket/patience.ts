import type { OpenSession, Outgoing } from '../../../component/sessions.ts';

/** Time that an output may lose to sessions that take less than they should, in milliseconds. */
const MOST = 1_000;

/** The part of the time that comes back to it. */
const REFILL = 0.1;

/** What is given to each session in any case: who reads well shows it in less. In milliseconds. */
const LEAST = 50;

/** Time that can be lost: what has been is regained slowly, and at once by who takes more than it must. */
class Credit {
  #left = MOST;
  #at = performance.now();

  get left(): number {
    const now = performance.now();
    this.#left = Math.min(MOST, this.#left + (now - this.#at) * REFILL);
    this.#at = now;
    return this.#left;
  }

  spend(time: number): void {
    this.#left = Math.max(0, Math.min(MOST, this.left - time));
  }
}

/**
 * Waits for sessions whose buffers are full, so that none is called slow that reads: one that takes at least a buffer
 * full in a second is waited for, however long that takes. What others take longer, the output loses; so each of them, and
 * all together, have little of it.
 */
export class Patience {
  readonly #own = new WeakMap<Outgoing, Credit>();
  readonly #all = new Credit();

  /**
   * Resolves with true when there is room, or the session has closed; with false when it is slow. The sockets must have
   * had a turn before.
   * @param limit the buffer's size, in bytes
   */
  async wait(
    session: OpenSession,
    hasRoom: () => boolean,
    limit: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { outgoing } = session;
    let own = this.#own.get(outgoing);
    if (own === undefined) this.#own.set(outgoing, (own = new Credit()));
    for (;;) {
      const credit = Math.min(own.left, this.#all.left);
      // It has been deaf for some time when its buffer is full at last; then that time counts.
      const most = Math.min(outgoing.patience - outgoing.stalled, Math.max(credit, LEAST));
      if (most <= 0) return false;
      const { taken } = outgoing;
      const start = performance.now();
      const settled = await outgoing.until(hasRoom, signal, most);
      const lost = performance.now() - start - ((outgoing.taken - taken) / limit) * 1_000;
      own.spend(lost);
      this.#all.spend(lost);
      if (settled || !session.open) return true;
      if (lost > 0 && credit <= LEAST) return false;
    }
  }
}
