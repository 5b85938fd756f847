/** How long a start waits for servers that do not come to listen, in milliseconds. */
const PATIENCE = 1_000;

/**
 * Lets the servers of a file listen before its clients connect: those of one file often talk to each other, and the
 * first thing that a user sees should not be that they could not.
 */
export class StartGate {
  #expected = 0;
  readonly #waiting = new Set<() => void>();

  /** A server will try to listen. @returns what tells that it has tried */
  expect(): () => void {
    this.#expected++;
    let tried = false;
    return () => {
      if (tried) return;
      tried = true;
      if (--this.#expected === 0) for (const go of this.#waiting) go();
    };
  }

  /** Resolves when every server has tried. @throws the signal's reason when it aborts */
  async wait(signal: AbortSignal): Promise<void> {
    if (this.#expected > 0) {
      await new Promise<void>((resolve) => {
        const go = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', go);
          this.#waiting.delete(go);
          resolve();
        };
        const timer = setTimeout(go, PATIENCE);
        signal.addEventListener('abort', go, { once: true });
        this.#waiting.add(go);
      });
    }
    signal.throwIfAborted();
  }
}
