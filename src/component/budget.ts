import { Waker } from './waker.ts';

/** The most that a stream may hold in flight, from received to confirmed. */
export interface BudgetLimits {
  readonly messages: number;
  readonly bytes: number;
}

const LOW_MARK = 0.5;

/** While the budget is full, senders that have nothing waiting may exceed it by this share of the limits. */
const SPARE = 0.25;
const SPARE_MESSAGES = 1_000;
const SPARE_BYTES = 1024 * 1024;

/** A part that receives, and stops while the budget is full. */
interface Gate {
  readonly full: () => void;
  readonly room: () => void;
  /** The extra room is used up as well. */
  readonly exhausted?: () => void;
}

/**
 * Counts messages and bytes in flight. At the limit (the high mark) it is full, and receiving stops; at half of it
 * (the low mark) it has room again. Between the high mark and the point where it is exhausted, senders that have
 * nothing waiting may still be read, so that the messages of others do not keep them from answering.
 */
export class Budget {
  readonly limits: BudgetLimits;
  #messages = 0;
  #bytes = 0;
  #full = false;
  #exhausted = false;
  readonly #gates = new Set<Gate>();
  readonly #room = new Waker();

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

  get exhausted(): boolean {
    return this.#exhausted;
  }

  add(messages: number, bytes: number): void {
    this.#messages += messages;
    this.#bytes += bytes;
    if (!this.#full && (this.#messages >= this.limits.messages || this.#bytes >= this.limits.bytes)) {
      this.#full = true;
      for (const gate of this.#gates) gate.full();
    }
    if (this.#full && !this.#exhausted && this.#isExhausted()) {
      this.#exhausted = true;
      for (const gate of this.#gates) gate.exhausted?.();
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
      this.#exhausted = false;
      for (const gate of this.#gates) {
        // A gate that takes in more may at once fill it again; the gates after it are still closed, and stay so.
        if (this.#full) break;
        gate.room();
      }
      this.#room.wake();
    }
  }

  /** Returns a function that gives back what was added; calling it again does nothing. */
  releaser(messages: number, bytes: number): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.release(messages, bytes);
    };
  }

  #isExhausted(): boolean {
    const { messages, bytes } = this.limits;
    return (
      this.#messages >= messages + Math.max(messages * SPARE, SPARE_MESSAGES) ||
      this.#bytes >= bytes + Math.max(bytes * SPARE, SPARE_BYTES)
    );
  }

  /** Calls `full` at the high mark and `room` at the low mark, until the returned function is called. */
  onChange(gate: Gate): () => void {
    this.#gates.add(gate);
    return () => {
      this.#gates.delete(gate);
    };
  }

  /** Resolves when there is room. @throws the signal's reason when it aborts */
  async room(signal: AbortSignal): Promise<void> {
    // Another waiter may have filled it again.
    do await this.#room.until(() => !this.#full, signal);
    while (this.#full);
  }
}
