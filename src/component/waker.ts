/**
 * Lets others wait for something to happen. A wake while nobody waits is kept for the next wait, so check your
 * condition again after each.
 */
export class Waker {
  readonly #waiting = new Set<() => void>();
  #woken = false;

  /** Something has happened. */
  wake(): void {
    if (this.#waiting.size === 0) this.#woken = true;
    else for (const look of this.#waiting) look();
  }

  /** Resolves at the next `wake`, when the signal aborts, or after `timeout` milliseconds. */
  async wait(signal?: AbortSignal, timeout?: number): Promise<void> {
    if (!this.#woken) await this.#sleep(() => true, signal, timeout);
    this.#woken = false;
  }

  /**
   * Resolves with true when `done`, with false when `over` or after `timeout` milliseconds; it checks both now and at
   * each `wake`. @throws the signal's reason when it aborts first
   */
  async until(
    done: () => boolean,
    signal: AbortSignal,
    { timeout, over }: { timeout?: number | undefined; over?: () => boolean } = {},
  ): Promise<boolean> {
    signal.throwIfAborted();
    let met = done();
    if (met || over?.() === true) return met;
    await this.#sleep(() => (met = done()) || over?.() === true, signal, timeout);
    if (!met) signal.throwIfAborted();
    return met;
  }

  /** Resolves when a `wake` finds it `done`, at an abort, or after the time. */
  #sleep(done: () => boolean, signal: AbortSignal | undefined, timeout: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        signal?.removeEventListener('abort', settle);
        resolve();
      };
      const look = (): void => {
        if (done()) settle();
      };
      const timer = timeout === undefined ? undefined : setTimeout(settle, timeout);
      this.#waiting.add(look);
      if (signal?.aborted === true) settle();
      else signal?.addEventListener('abort', settle, { once: true });
    });
  }
}

/** Resolves as `promise` does, if the signal does not abort first. @throws the signal's reason */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    // Race in any case: otherwise nobody would hear that `promise` fails.
    return await Promise.race([aborted, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
