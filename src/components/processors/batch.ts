import { z } from 'zod';
import type { Context } from '../../component/context.ts';
import type { ProcessCall, Processor } from '../../component/contracts.ts';
import { defineProcessor } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { alias, settings } from '../../component/settings.ts';
import type { StateBudget } from '../../component/state-budget.ts';
import { KeptDeliveries } from '../../delivery/kept-deliveries.ts';
import type { Batch, Format } from '../../message/batch.ts';
import type { Delivery } from '../../message/delivery.ts';

const schema = settings({
  count: z.int().min(1).describe('How many messages each batch has.'),
  timeout: duration('s', { min: 1 })
    .default(1000)
    .describe('This long after its first message, a batch goes on with fewer.'),
  timeout_ms: alias('timeout', z.int().min(1)),
});

/** Batches of an exact size. */
export const batchProcessor = defineProcessor({
  type: 'batch',
  summary: 'Makes batches of exactly `count` messages.',
  status: 'stable',
  description:
    'The batches keep the order of the messages. Messages of children of `multiple_inputs` whose codecs differ are never in one batch. Messages that wait for a full batch count in the stream’s `state`. At the end of the stream the rest goes on as a smaller batch.',
  schema,
  examples: [{ title: 'A hundred at a time', yaml: 'type: batch\ncount: 100\ntimeout: 500ms\n' }],
  create: (config, context) => new BatchProcessor(config, context),
});

class BatchProcessor implements Processor {
  readonly ordered = true;
  /** Rows of the same columns stay rows. */
  readonly takes: 'rows' | undefined;
  readonly #count: number;
  readonly #timeout: number;
  readonly #state: StateBudget;
  /** The messages of each format that wait for a full batch. */
  readonly #kept = new Map<Format, KeptDeliveries>();
  #flushAt: number | undefined;

  constructor({ count, timeout }: z.output<typeof schema>, context: Context) {
    this.takes = context.stream.takesRows ? 'rows' : undefined;
    this.#count = count;
    this.#timeout = timeout;
    this.#state = context.stream.stateBudget;
  }

  get flushAt(): number | undefined {
    return this.#flushAt;
  }

  async process(batch: Batch, { keep }: ProcessCall): Promise<Delivery[]> {
    const kept = this.#kept.get(batch.format) ?? new KeptDeliveries(this.#state);
    this.#kept.set(batch.format, kept);
    const full: Delivery[] = [];
    for (let start = 0; start < batch.length;) {
      this.#flushAt ??= performance.now() + this.#timeout;
      const end = Math.min(start + this.#count - kept.messages, batch.length);
      await kept.add({ batch: batch.slice(start, end), receipt: keep() });
      start = end;
      if (kept.messages === this.#count) full.push(...(await this.#take(kept)));
    }
    return full;
  }

  async flush(): Promise<Delivery[]> {
    const rest: Delivery[] = [];
    for (const kept of this.#kept.values()) rest.push(...(await this.#take(kept)));
    return rest;
  }

  notReady(): string | undefined {
    const trouble = [...this.#kept.values()].find((kept) => kept.trouble !== undefined)?.trouble;
    return trouble && `batch: ${trouble}`;
  }

  async close(): Promise<void> {
    for (const kept of this.#kept.values()) await kept.close();
  }

  async #take(kept: KeptDeliveries): Promise<Delivery[]> {
    const taken = await kept.take();
    if ([...this.#kept.values()].every(({ messages }) => messages === 0)) this.#flushAt = undefined;
    return taken;
  }
}
