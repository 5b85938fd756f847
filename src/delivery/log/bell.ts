/** Wakes one who waits. A ring while nobody waits is kept for the next wait. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves at the next ring, or after `timeout` milliseconds. */
  async wait(timeout?: number): Promise<void> {
    if (!this.#rung) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (timeout !== undefined) timer = setTimeout(resolve, timeout);
      });
      this.#wake = undefined;
      clearTimeout(timer);
    }
    this.#rung = false;
  }
}
