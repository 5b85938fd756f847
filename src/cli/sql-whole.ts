import type { ProcessCall, Processor } from '../component/contracts.ts';
import { defineBuffer } from '../component/define.ts';
import { z } from 'zod';
import { KeptDeliveries } from '../delivery/kept-deliveries.ts';
import { MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Delivery } from '../message/delivery.ts';

/** The type of the buffer, in a plan that a file cannot have. */
export const WHOLE = 'whole';

/** Keeps everything until the input has ended, so that a query sees a file as one table. */
export const wholeBuffer = defineBuffer({
  type: WHOLE,
  summary: 'Passes on all messages as one batch when the input has ended.',
  status: 'stable',
  schema: z.strictObject({}),
  examples: [],
  create: (_, { stream }) => new Whole(new KeptDeliveries(stream.stateBudget)),
});

class Whole implements Processor {
  readonly ordered = true;
  readonly #kept: KeptDeliveries;

  constructor(kept: KeptDeliveries) {
    this.#kept = kept;
  }

  async process(batch: Batch, { keep }: ProcessCall): Promise<Delivery[]> {
    await this.#kept.add({ batch, receipt: keep() });
    if (this.#kept.trouble === undefined) return [];
    const message = 'the messages do not fit into memory as one table; give --window, such as --window 10s';
    throw new MillraceError('MILLRACE_PROCESSOR_FAILED', message, { fatal: true });
  }

  async flush(): Promise<Delivery[]> {
    return await this.#kept.take();
  }

  async close(): Promise<void> {
    await this.#kept.close();
  }
}
