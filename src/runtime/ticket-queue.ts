import { Waker } from '../component/waker.ts';
import type { Delivery } from '../message/delivery.ts';

/**
 * The batches in processing, in input order. The reader takes a slot for each batch; the writer takes the oldest
 * ticket, even if later ones are done first.
 */
export class TicketQueue {
  readonly #tickets: { result: Promise<Delivery[]>; slot: boolean }[] = [];
  #free: number;
  #ended = false;
  readonly #reader = new Waker();
  readonly #writer = new Waker();

  constructor(slots: number) {
    this.#free = slots;
  }

  /** Waits until another batch may be processed. @throws the signal's reason when it aborts */
  async slot(signal: AbortSignal): Promise<void> {
    while (this.#free === 0) {
      await this.#reader.wait(signal);
      signal.throwIfAborted();
    }
    this.#free--;
  }

  /** Adds a ticket; with `slot`, it returns a slot when it is done. */
  push(result: Promise<Delivery[]>, slot: boolean): void {
    // The writer awaits it later; until then its failure must not count as unhandled.
    result.catch(() => {});
    this.#tickets.push({ result, slot });
    this.#writer.wake();
  }

  /** No more tickets will come. */
  end(): void {
    this.#ended = true;
    this.#writer.wake();
  }

  /** Resolves with the oldest ticket's batches once they are ready, or undefined at the end. */
  async next(): Promise<Delivery[] | undefined> {
    while (this.#tickets.length === 0) {
      if (this.#ended) return undefined;
      await this.#writer.wait();
    }
    const { result, slot } = this.#tickets.shift()!;
    const deliveries = await result;
    if (slot) {
      this.#free++;
      this.#reader.wake();
    }
    return deliveries;
  }
}
