const signals = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGBREAK'] as const;

/**
 * Aborts its signal at the first SIGINT, SIGTERM, SIGQUIT or SIGHUP. A second one ends the process as if nobody
 * listened, except SIGHUP, which comes more than once when a terminal is closed. You must call `dispose`.
 */
export class Interrupt {
  readonly #controller = new AbortController();

  constructor() {
    for (const signal of signals) process.on(signal, this.#interrupted);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  dispose(): void {
    for (const signal of signals) process.off(signal, this.#interrupted);
  }

  readonly #interrupted = (): void => {
    this.dispose();
    process.on('SIGHUP', () => {});
    this.#controller.abort(new Interrupted());
  };
}

/** The reason of the abort after an interrupt. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  override readonly message = 'interrupted';
}
