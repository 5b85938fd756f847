/** What a stream may hold in flight, from received to confirmed. */
export interface BudgetLimits {
  readonly messages: number;
  readonly bytes: number;
}

const LOW_MARK = 0.5;

/**
 * Counts messages and bytes in flight. At the limit (the high mark) it is full, and who receives stops; at half of it
 * (the low mark) it has room again.
 */
export class Budget {
  readonly limits: BudgetLimits;
  #messages = 0;
  #bytes = 0;
  #full = false;
  readonly #gates = new Set<{ full: () => void; room: () => void }>();

  constructor(limits: BudgetLimits) {
    this.limits = limits;
  }

  get messages(): number {
    return this.#messages;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#full;
  }

  add(messages: number, bytes: number): void {
    this.#messages += messages;
    this.#bytes += bytes;
    if (!this.#full && (this.#messages >= this.limits.messages || this.#bytes >= this.limits.bytes)) {
      this.#full = true;
      for (const gate of this.#gates) gate.full();
    }
  }

  release(messages: number, bytes: number): void {
    this.#messages -= messages;
    this.#bytes -= bytes;
    if (
      this.#full &&
      this.#messages <= this.limits.messages * LOW_MARK &&
      this.#bytes <= this.limits.bytes * LOW_MARK
    ) {
      this.#full = false;
      for (const gate of this.#gates) {
        // One that takes in more at once may fill it again; the gates after it are still closed, and stay so.
        if (this.#full) break;
        gate.room();
      }
    }
  }

  /** Calls `full` at the high mark and `room` at the low mark, until the returned function is called. */
  onChange(gate: { full: () => void; room: () => void }): () => void {
    this.#gates.add(gate);
    return () => {
      this.#gates.delete(gate);
    };
  }

  /** Resolves when there is room. @throws the signal's reason when it aborts */
  async room(signal: AbortSignal): Promise<void> {
    while (this.#full) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const leave = (): void => {
          off();
          signal.removeEventListener('abort', leave);
          resolve();
        };
        const off = this.onChange({ full: () => {}, room: leave });
        signal.addEventListener('abort', leave, { once: true });
      });
    }
    signal.throwIfAborted();
  }
}
