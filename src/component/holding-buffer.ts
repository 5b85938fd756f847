import { EndOfInputError } from '../errors.ts';
import { joinAcks } from '../message/ack.ts';
import { concatBatches, type Batch } from '../message/batch.ts';
import type { Buffer } from './contracts.ts';
import { Waker } from './waker.ts';

/** A buffer that collects batches and gives them on as one, when whoever extends it says so. */
export abstract class HoldingBuffer implements Buffer {
  #held: Batch[] = [];
  #heldMessages = 0;
  readonly #due: Batch[] = [];
  #flushed = false;
  readonly #waker = new Waker();

  abstract write(batch: Batch): void;
  /** Called at the end: clear timers. */
  protected abstract ended(): void;

  protected get heldMessages(): number {
    return this.#heldMessages;
  }

  protected hold(batch: Batch): void {
    this.#held.push(batch);
    this.#heldMessages += batch.length;
  }

  async read(signal: AbortSignal): Promise<Batch> {
    for (;;) {
      const batch = this.#due.shift();
      if (batch !== undefined) return batch;
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
    this.#due.push(held.length === 1 ? held[0]! : concatBatches(held, joinAcks(held.map(({ ack }) => ack))));
    this.#waker.wake();
  }
}
