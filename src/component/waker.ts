/** Lets one waiter at a time wait for something to happen. */
export class Waker {
  #wake: (() => void) | undefined;

  /** Something has happened. */
  wake(): void {
    this.#wake?.();
  }

  /** Resolves when `wake` is called, or when the signal aborts: who waits looks again at what it waits for. */
  wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wake = undefined;
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#wake = wake;
      if (signal?.aborted === true) wake();
      else signal?.addEventListener('abort', wake, { once: true });
    });
  }
}
