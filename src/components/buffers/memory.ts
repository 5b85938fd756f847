import { z } from 'zod';
import type { Budget } from '../../component/budget.ts';
import type { Context } from '../../component/context.ts';
import { defineBuffer } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { alias, settings } from '../../component/settings.ts';
import { HoldingBuffer } from '../../component/holding-buffer.ts';
import type { Delivery } from '../../message/delivery.ts';

const schema = settings({
  count: z
    .int()
    .min(1)
    .default(100)
    .describe('Give what has been collected on as soon as it is this many messages.'),
  capacity: alias('count', z.int().min(1)),
  timeout: duration('s', { min: 1 })
    .default(100)
    .describe('Give it on at the latest this long after the first of them, however few they are.'),
});

/** Joins small batches into larger ones. */
export const memoryBuffer = defineBuffer({
  type: 'memory',
  summary: 'Collects messages into larger batches, by number and time.',
  status: 'stable',
  description:
    'What it holds counts in the stream’s `in_flight` budget; when that is full the buffer gives on what it has.',
  schema,
  examples: [{ title: 'A thousand messages, or a second', yaml: 'type: memory\ncount: 1000\ntimeout: 1s\n' }],
  create: (config, context) => new MemoryBuffer(config, context),
});

class MemoryBuffer extends HoldingBuffer {
  readonly #count: number;
  readonly #timeout: number;
  readonly #unsubscribe: () => void;
  readonly #budget: Budget;
  #timer: NodeJS.Timeout | undefined;

  constructor({ count, timeout }: z.output<typeof schema>, context: Context) {
    super();
    this.#count = count;
    this.#timeout = timeout;
    this.#budget = context.stream.budget;
    this.#unsubscribe = this.#budget.onChange({ full: () => this.#give(), room: () => {} });
  }

  override write(delivery: Delivery): void {
    this.hold(delivery);
    if (this.heldMessages >= this.#count || this.#budget.full) this.#give();
    else this.#timer ??= setTimeout(() => this.#give(), this.#timeout);
  }

  protected override ended(): void {
    clearTimeout(this.#timer);
    this.#unsubscribe();
  }

  #give(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.release();
  }
}
