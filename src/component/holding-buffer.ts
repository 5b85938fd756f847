import { EndOfInputError } from '../errors.ts';
import { joinDeliveries, type Delivery } from '../message/delivery.ts';
import type { Buffer } from './contracts.ts';
import { Waker } from './waker.ts';

/** A buffer that collects batches and gives them on as one, when whoever extends it says so. */
export abstract class HoldingBuffer implements Buffer {
  #held: Delivery[] = [];
  #heldMessages = 0;
  readonly #due: Delivery[] = [];
  #flushed = false;
  readonly #waker = new Waker();

  abstract write(delivery: Delivery): void;
  /** Called at the end: clear timers. */
  protected abstract ended(): void;

  protected get heldMessages(): number {
    return this.#heldMessages;
  }

  protected hold(delivery: Delivery): void {
    this.#held.push(delivery);
    this.#heldMessages += delivery.batch.length;
  }

  async read(signal: AbortSignal): Promise<Delivery> {
    for (;;) {
      const due = this.#due.shift();
      if (due !== undefined) return due;
      if (this.#flushed) throw new EndOfInputError();
      if (signal.aborted) this.ended();
      signal.throwIfAborted();
      await this.#waker.wait(signal);
    }
  }

  flush(): void {
    this.ended();
    this.#flushed = true;
    this.release();
    this.#waker.wake();
  }

  /** Gives what is held on as one batch. */
  protected release(): void {
    if (this.#heldMessages === 0) return;
    const held = this.#held;
    this.#held = [];
    this.#heldMessages = 0;
    this.#due.push(joinDeliveries(held));
    this.#waker.wake();
  }
}
