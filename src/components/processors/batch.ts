import { z } from 'zod';
import type { Processor } from '../../component/contracts.ts';
import { defineProcessor } from '../../component/define.ts';
import { joinAcks, type Ack } from '../../message/ack.ts';
import { concatBatches, type Batch } from '../../message/batch.ts';

const schema = z.strictObject({
  count: z.int().min(1).describe('How many messages each batch has.'),
  timeout_ms: z
    .int()
    .min(1)
    .default(1000)
    .describe('A batch goes on with fewer this many milliseconds after its first message.'),
});

/** Batches of an exact size. */
export const batchProcessor = defineProcessor({
  type: 'batch',
  summary: 'Makes batches of exactly so many messages.',
  status: 'stable',
  description:
    'The batches keep the input’s order. At the end of the stream what is left goes on as a smaller batch.',
  schema,
  examples: [{ title: 'A hundred at a time', yaml: 'type: batch\ncount: 100\ntimeout_ms: 500\n' }],
  create: (config) => new BatchProcessor(config),
});

class BatchProcessor implements Processor {
  readonly ordered = true;
  readonly #count: number;
  readonly #timeout: number;
  #held: Batch[] = [];
  #acks: Ack[] = [];
  #messages = 0;
  #flushAt: number | undefined;

  constructor({ count, timeout_ms }: z.output<typeof schema>) {
    this.#count = count;
    this.#timeout = timeout_ms;
  }

  get flushAt(): number | undefined {
    return this.#flushAt;
  }

  process(batch: Batch): Batch[] {
    const full: Batch[] = [];
    for (let start = 0; start < batch.length;) {
      const taken = Math.min(this.#count - this.#messages, batch.length - start);
      if (this.#messages === 0) this.#flushAt = performance.now() + this.#timeout;
      const indices = Array.from({ length: taken }, (_, offset) => start + offset);
      this.#held.push(taken === batch.length ? batch : batch.select(indices));
      this.#acks.push(batch.ack.fork());
      this.#messages += taken;
      start += taken;
      if (this.#messages === this.#count) full.push(...this.flush());
    }
    return full;
  }

  flush(): Batch[] {
    if (this.#messages === 0) return [];
    const joined = concatBatches(this.#held, joinAcks(this.#acks));
    this.#held = [];
    this.#acks = [];
    this.#messages = 0;
    this.#flushAt = undefined;
    return [joined];
  }
}
