import { z } from 'zod';
import type { Context } from '../../component/context.ts';
import type { ProcessCall, Processor } from '../../component/contracts.ts';
import { defineBuffer } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { alias, settings } from '../../component/settings.ts';
import { KeptDeliveries } from '../../delivery/kept-deliveries.ts';
import type { Batch } from '../../message/batch.ts';
import type { Delivery } from '../../message/delivery.ts';

const schema = settings({
  count: z.int().min(1).default(100).describe('Pass the batch on as soon as it has this many messages.'),
  capacity: alias('count', z.int().min(1)),
  timeout: duration('s', { min: 1 })
    .default(100)
    .describe('Pass the batch on this long after its first message at the latest, however few there are.'),
});

/** Joins small batches into larger ones. */
export const memoryBuffer = defineBuffer({
  type: 'memory',
  summary: 'Collects messages into larger batches, by number and time.',
  status: 'stable',
  description:
    'Messages of inputs with different codecs go on as a batch for each: JSON, text and bytes stay apart. The messages it holds count in the stream’s `state` and not in `in_flight`. When `state` is full, the buffer passes on the messages that it has.',
  schema,
  examples: [{ title: 'A thousand messages, or a second', yaml: 'type: memory\ncount: 1000\ntimeout: 1s\n' }],
  create: (config, context) => new MemoryBuffer(config, context),
});

class MemoryBuffer implements Processor {
  readonly ordered = true;
  /** Rows of the same columns stay rows. */
  readonly takes: 'rows' | undefined;
  readonly #count: number;
  readonly #timeout: number;
  readonly #kept: KeptDeliveries;
  #flushAt: number | undefined;

  constructor({ count, timeout }: z.output<typeof schema>, context: Context) {
    this.#count = count;
    this.#timeout = timeout;
    this.#kept = new KeptDeliveries(context.stream.stateBudget);
    this.takes = context.stream.takesRows ? 'rows' : undefined;
  }

  get flushAt(): number | undefined {
    return this.#flushAt;
  }

  async process(batch: Batch, { keep }: ProcessCall): Promise<Delivery[]> {
    this.#flushAt ??= performance.now() + this.#timeout;
    await this.#kept.add({ batch, receipt: keep() });
    const due = this.#kept.messages >= this.#count || this.#kept.trouble !== undefined;
    return due ? await this.flush() : [];
  }

  async flush(): Promise<Delivery[]> {
    this.#flushAt = undefined;
    return await this.#kept.take();
  }

  close(): Promise<void> {
    return this.#kept.close();
  }
}
