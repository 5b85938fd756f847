/** The time that a held-up pace may catch up on at once, in milliseconds. */
const BURST = 100;

/** Spreads messages evenly over time. */
export class Pace {
  /** Milliseconds from one message to the next. */
  readonly #interval: number;
  /** When the next message is due. */
  #next: number | undefined;

  /** `rate` in messages a second; Infinity for no limit. */
  constructor(rate: number) {
    this.#interval = 1000 / rate;
  }

  /** Milliseconds until the next message is due; 0 when it is. Call it before `due`. */
  wait(): number {
    if (this.#interval === 0) return 0;
    const now = performance.now();
    this.#next ??= now;
    return Math.max(0, this.#next - now);
  }

  /** How many of `wanted` messages are due; at least one, because the caller has waited. */
  due(wanted: number): number {
    if (this.#interval === 0) return wanted;
    const late = Math.min(BURST, performance.now() - (this.#next ?? 0));
    return Math.min(wanted, Math.max(1, Math.floor(late / this.#interval) + 1));
  }

  /** Counts messages that have been sent. */
  spend(count: number): void {
    this.#next = Math.max(this.#next ?? 0, performance.now() - BURST) + count * this.#interval;
  }
}
