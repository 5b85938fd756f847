import { Waker } from '../component/waker.ts';

/** How long a start waits for servers that do not listen, in milliseconds. */
const PATIENCE = 1_000;

/**
 * Lets the servers of a file listen before its clients connect. They often talk to each other, and a failed connection
 * should not be the first thing that a user sees.
 */
export class StartGate {
  #expected = 0;
  readonly #tried = new Waker();

  /** Registers a server that will try to listen. @returns a function to call when it has tried */
  expect(): () => void {
    this.#expected++;
    let tried = false;
    return () => {
      if (tried) return;
      tried = true;
      this.#expected--;
      this.#tried.wake();
    };
  }

  /** Resolves when every server has tried. @throws the signal's reason when it aborts */
  async wait(signal: AbortSignal): Promise<void> {
    await this.#tried.until(() => this.#expected === 0, signal, { timeout: PATIENCE });
  }
}
