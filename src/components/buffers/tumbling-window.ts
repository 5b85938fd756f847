import { z } from 'zod';
import { defineBuffer } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { HoldingBuffer } from '../../component/holding-buffer.ts';
import type { Delivery } from '../../message/delivery.ts';

const schema = z.strictObject({
  interval: duration('s', { min: 1 }).describe('The length of a window.'),
});

/** Windows of fixed length, one after the other. */
export const tumblingWindowBuffer = defineBuffer({
  type: 'tumbling_window',
  summary: 'Gives the messages of each window of time as one batch.',
  status: 'stable',
  description:
    'Windows follow each other without gap or overlap and start at whole multiples of `interval` since the epoch (UTC); a message belongs to the window in which it arrived here. An empty window gives nothing. What a window holds counts in the stream’s `in_flight` budget: if a window does not fit, the senders wait until it has ended.',
  schema,
  examples: [{ title: 'One second', yaml: 'type: tumbling_window\ninterval: 1s\n' }],
  create: ({ interval }) => new TumblingWindow(interval),
});

class TumblingWindow extends HoldingBuffer {
  readonly #interval: number;
  /** The number of the window that is open, since the epoch. */
  #window = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(interval: number) {
    super();
    this.#interval = interval;
  }

  /** A timer may be late, so the window of a message is told by its time, not by the timer. */
  override write(delivery: Delivery): void {
    const { batch, receipt } = delivery;
    const starts = batch.runs.map(({ time }) => Math.floor(time / 1000 / this.#interval));
    let first = 0;
    for (const [index, window] of starts.entries()) {
      if (window <= this.#window) continue;
      const { start } = batch.runs[index]!;
      if (start > first) this.#add(delivery, first, start);
      this.#close();
      this.#window = window;
      first = start;
    }
    this.#add(delivery, first, batch.length);
    receipt.done();
    this.#timer ??= setTimeout(() => this.#close(), this.#interval - (Date.now() % this.#interval));
  }

  protected override ended(): void {
    clearTimeout(this.#timer);
  }

  #add({ batch, receipt }: Delivery, start: number, end: number): void {
    const all = end - start === batch.length;
    const part = all
      ? batch
      : batch.select(Array.from({ length: end - start }, (_, offset) => start + offset));
    this.hold({ batch: part, receipt: receipt.fork() });
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.release();
  }
}
