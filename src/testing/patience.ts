import { setTimeout as pause } from 'node:timers/promises';

const POLL_MS = 5;

/** Parts of all patience: for what may happen, and for what happens without waiting for anybody. */
const WHILE = 40;
const AT_ONCE = 4;

/** Waits for what must happen, and not for ever. */
export class Patience {
  readonly #limit: number;

  /** `limit` in milliseconds. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws Error when `condition` has not come true in time; it says `what` must be and the `state` then */
  async until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    state: () => string = () => '',
  ): Promise<void> {
    const deadline = performance.now() + this.#limit;
    while (!(await condition())) {
      if (performance.now() > deadline) {
        throw new Error(`waited ${this.#limit} ms for this: ${what}. ${state()}`.trimEnd());
      }
      await pause(POLL_MS);
    }
  }

  /** Gives up without a word: for what may happen, and need not. */
  async forAWhile(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + this.#limit / WHILE;
    while (!condition() && performance.now() < deadline) await pause(POLL_MS);
  }

  /** @throws Error when `promise` has not been settled in time */
  async ends<T>(what: string, promise: Promise<T>, limit = this.#limit): Promise<T> {
    const timer = new AbortController();
    const late = pause(limit, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`${what} has not ended after ${limit} ms`);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      late.catch(() => {});
      timer.abort();
    }
  }

  /** The same for what is to end at once, and not only when it has waited for others. */
  async promptly<T>(what: string, promise: Promise<T>): Promise<T> {
    return await this.ends(what, promise, this.#limit / AT_ONCE);
  }
}
