import { setImmediate } from 'node:timers/promises';
import type { Outgoing } from '../../../component/sessions.ts';

/** Holds back the frames of a batch, so that all frames of one session go to the system together. */
export class Corks {
  readonly #held = new Set<Outgoing>();

  hold(outgoing: Outgoing): void {
    if (this.#held.has(outgoing)) return;
    this.#held.add(outgoing);
    outgoing.cork();
  }

  release(): void {
    for (const outgoing of this.#held) outgoing.uncork();
    this.#held.clear();
  }

  /** Lets the sockets write: before that, the event loop cannot tell whether a session is slow. */
  async turn(signal: AbortSignal): Promise<void> {
    this.release();
    // The first turn may come before the sockets, the second comes after them.
    await setImmediate();
    await setImmediate();
    signal.throwIfAborted();
  }
}
