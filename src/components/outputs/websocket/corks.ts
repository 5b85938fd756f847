import { setImmediate } from 'node:timers/promises';
import type { Outgoing } from '../../../component/sessions.ts';

/** Holds back what a batch sends, so that what goes to one session goes to the system together. */
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

  /** Lets the sockets write: nobody is slow before the event loop has looked whether they take more. */
  async turn(signal: AbortSignal): Promise<void> {
    this.release();
    // The first may come before the sockets in a turn, the second comes after them.
    await setImmediate();
    await setImmediate();
    signal.throwIfAborted();
  }
}
