/**
 * Aborts its signal at the first SIGINT or SIGTERM; a second one ends the process as if nobody listened. `dispose` must
 * be called.
 */
export class Interrupt {
  readonly #controller = new AbortController();

  constructor() {
    process.on('SIGINT', this.#interrupted).on('SIGTERM', this.#interrupted);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  dispose(): void {
    process.off('SIGINT', this.#interrupted).off('SIGTERM', this.#interrupted);
  }

  readonly #interrupted = (): void => {
    this.dispose();
    this.#controller.abort(new Interrupted());
  };
}

/** The reason with which an interrupt aborts. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  override readonly message = 'interrupted';
}
