import { z } from 'zod';
import type { Context } from '../../component/context.ts';
import type { ProcessCall, Processor } from '../../component/contracts.ts';
import { defineBuffer } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { KeptDeliveries } from '../../delivery/kept-deliveries.ts';
import type { Batch } from '../../message/batch.ts';
import type { Delivery } from '../../message/delivery.ts';

const schema = z.strictObject({
  interval: duration('s', { min: 1 }).describe('The length of a window.'),
});

/** Windows of fixed length, one after the other. */
export const tumblingWindowBuffer = defineBuffer({
  type: 'tumbling_window',
  summary: 'Passes on the messages of each window of time as one batch.',
  status: 'stable',
  description:
    'Windows follow each other without gap or overlap and start at whole multiples of `interval` since the epoch (UTC). A message belongs to the window in which it arrived here. An empty window passes nothing on. Messages of inputs with different codecs go on as a batch for each: JSON, text and bytes stay apart. The messages that a window holds count in the stream’s `state` and not in `in_flight`. If a window does not fit into `state`, further messages fill `in_flight`, and then the senders wait until the window has ended; readiness says so. When a window ends, all of it comes into memory at once; a query over it takes about 3 KiB of memory for each message, and eight times its bytes.',
  schema,
  examples: [{ title: 'One second', yaml: 'type: tumbling_window\ninterval: 1s\n' }],
  create: ({ interval }, context) => new TumblingWindow(interval, context),
});

class TumblingWindow implements Processor {
  readonly ordered = true;
  /** Rows of the same columns stay rows. */
  readonly takes: 'rows' | undefined;
  readonly #interval: number;
  readonly #kept: KeptDeliveries;
  /** The number of the window that is open, since the epoch. */
  #window = 0;
  #flushAt: number | undefined;

  constructor(interval: number, context: Context) {
    this.#interval = interval;
    this.#kept = new KeptDeliveries(context.stream.stateBudget);
    this.takes = context.stream.takesRows ? 'rows' : undefined;
  }

  get flushAt(): number | undefined {
    return this.#flushAt;
  }

  /** A flush may be late, so the time of a message decides its window, not the flush. */
  async process(batch: Batch, { keep }: ProcessCall): Promise<Delivery[]> {
    const ended: Delivery[] = [];
    let first = 0;
    const add = async (end: number): Promise<void> => {
      if (end > first) await this.#kept.add({ batch: batch.slice(first, end), receipt: keep() });
      first = end;
    };
    for (const { start, time } of batch.runs) {
      const window = Math.floor(time / 1000 / this.#interval);
      if (window <= this.#window) continue;
      await add(start);
      ended.push(...(await this.flush()));
      this.#window = window;
    }
    await add(batch.length);
    this.#flushAt ??= performance.now() + this.#interval - (Date.now() % this.#interval);
    return ended;
  }

  async flush(): Promise<Delivery[]> {
    this.#flushAt = undefined;
    return await this.#kept.take();
  }

  notReady(): string | undefined {
    const { trouble } = this.#kept;
    return trouble && `tumbling_window: ${trouble}`;
  }

  close(): Promise<void> {
    return this.#kept.close();
  }
}
