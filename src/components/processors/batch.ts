import { z } from 'zod';
import type { ProcessCall, Processor } from '../../component/contracts.ts';
import { defineProcessor } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { alias, settings } from '../../component/settings.ts';
import type { Batch } from '../../message/batch.ts';
import { joinDeliveries, type Delivery } from '../../message/delivery.ts';

const schema = settings({
  count: z.int().min(1).describe('How many messages each batch has.'),
  timeout: duration('s', { min: 1 })
    .default(1000)
    .describe('A batch goes on with fewer messages this long after its first one.'),
  timeout_ms: alias('timeout', z.int().min(1)),
});

/** Batches of an exact size. */
export const batchProcessor = defineProcessor({
  type: 'batch',
  summary: 'Makes batches of exactly so many messages.',
  status: 'stable',
  description:
    'The batches keep the input’s order. At the end of the stream what is left goes on as a smaller batch.',
  schema,
  examples: [{ title: 'A hundred at a time', yaml: 'type: batch\ncount: 100\ntimeout: 500ms\n' }],
  create: (config, { stream }) => new BatchProcessor(config, stream.takesRows),
});

class BatchProcessor implements Processor {
  readonly ordered = true;
  /** Rows of the same columns stay rows. */
  readonly takes: 'rows' | undefined;
  readonly #count: number;
  readonly #timeout: number;
  #held: Delivery[] = [];
  #messages = 0;
  #flushAt: number | undefined;

  constructor({ count, timeout }: z.output<typeof schema>, takesRows: boolean) {
    this.takes = takesRows ? 'rows' : undefined;
    this.#count = count;
    this.#timeout = timeout;
  }

  get flushAt(): number | undefined {
    return this.#flushAt;
  }

  process(batch: Batch, { keep }: ProcessCall): Delivery[] {
    const full: Delivery[] = [];
    for (let start = 0; start < batch.length;) {
      const taken = Math.min(this.#count - this.#messages, batch.length - start);
      if (this.#messages === 0) this.#flushAt = performance.now() + this.#timeout;
      const indices = Array.from({ length: taken }, (_, offset) => start + offset);
      const part = taken === batch.length ? batch : batch.select(indices);
      this.#held.push({ batch: part, receipt: keep() });
      this.#messages += taken;
      start += taken;
      if (this.#messages === this.#count) full.push(...this.flush());
    }
    return full;
  }

  flush(): Delivery[] {
    if (this.#messages === 0) return [];
    const joined = joinDeliveries(this.#held);
    this.#held = [];
    this.#messages = 0;
    this.#flushAt = undefined;
    return [joined];
  }
}
