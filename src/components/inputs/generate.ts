import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineInput } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { EndOfInputError } from '../../errors.ts';
import { Batch } from '../../message/batch.ts';
import { noReceipt } from '../../message/receipt.ts';

/** The same message again and again, for trying things out. */
export const generateInput = defineInput({
  type: 'generate',
  givesBytes: true,
  summary: 'Makes the same message again and again, for trying things out.',
  status: 'stable',
  schema: z.strictObject({
    context: z.string().describe('The payload of each message.'),
    interval: duration('s')
      .default(1000)
      .describe('The time from one batch to the next; 0 makes them without a pause.'),
    batch_size: z.int().min(1).max(100_000).default(1).describe('How many messages each interval makes.'),
    count: z
      .int()
      .min(1)
      .optional()
      .describe('How many messages to make in all. Without it, the input never ends.'),
  }),
  examples: [
    {
      title: 'Ten readings a second',
      yaml: 'type: generate\ncontext: \'{"sensor": "temp_1", "value": 10}\'\ninterval: 1s\nbatch_size: 10\n',
    },
  ],
  create({ context, interval, batch_size, count = Infinity }, { name }) {
    const payload = Buffer.from(context);
    const origin = { source: name ?? 'generate', ext: {} };
    let left = count;
    let due = performance.now();
    return {
      connect: () => Promise.resolve(),
      close: () => Promise.resolve(),
      async read(signal) {
        if (left === 0) throw new EndOfInputError();
        const now = performance.now();
        if (due > now) await delay(due - now, undefined, { signal });
        // Time in which the stream was held back is not made up for.
        due = Math.max(due, now) + interval;
        const size = Math.min(batch_size, left);
        left -= size;
        const time = Date.now() * 1000;
        const payloads = Array.from({ length: size }, () => payload);
        return { batch: new Batch(payloads, { runs: [{ start: 0, origin, time }] }), receipt: noReceipt };
      },
    };
  },
});
