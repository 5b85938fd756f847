import type { Printable } from './shell.ts';

/** How often the line is drawn, in milliseconds. */
const PERIOD = 200;
const CLEAR = '\r\u001b[2K';

/** A line on the terminal that shows the progress of a command. You must call `stop`. */
export class Progress {
  readonly #terminal: Printable;
  readonly #line: () => string;
  #timer: NodeJS.Timeout | undefined;

  /** `shown` is false if there is no terminal, or something else is on it: then it does nothing. */
  constructor(terminal: Printable, shown: boolean, line: () => string) {
    this.#terminal = terminal;
    this.#line = line;
    if (shown) this.#timer = setInterval(this.#draw, PERIOD);
  }

  /** Writes something else; the line comes back below it. */
  aside(text: string): void {
    this.#terminal.write(this.#timer === undefined ? text : `${CLEAR}${text}`);
  }

  /** Removes the line. */
  stop(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#terminal.write(CLEAR);
  }

  readonly #draw = (): void => {
    // A longer line would wrap, and only its last part would be cleared.
    this.#terminal.write(CLEAR + this.#line().slice(0, (this.#terminal.columns || 80) - 1));
  };
}

/** Messages a second between two calls. */
export class Rate {
  #count = 0;
  #at = performance.now();

  next(count: number): number {
    const now = performance.now();
    const rate = ((count - this.#count) * 1000) / Math.max(now - this.#at, 1);
    this.#count = count;
    this.#at = now;
    return Math.round(rate);
  }
}
