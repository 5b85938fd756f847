/** Who waits for something of a connection to change. */
export class Watchers {
  readonly #closed: () => boolean;
  readonly #watchers = new Set<() => void>();

  constructor(closed: () => boolean) {
    this.#closed = closed;
  }

  /** Something has changed. */
  look(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** As `Outgoing.until`. */
  until(done: () => boolean, signal: AbortSignal, timeout?: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        signal.removeEventListener('abort', aborted);
      };
      const settle = (value: boolean): void => {
        leave();
        resolve(value);
      };
      const look = (): void => {
        if (done()) settle(true);
        else if (this.#closed()) settle(false);
      };
      const aborted = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      const timer = timeout === undefined ? undefined : setTimeout(() => settle(false), timeout);
      this.#watchers.add(look);
      signal.addEventListener('abort', aborted, { once: true });
      if (signal.aborted) aborted();
      else look();
    });
  }
}
