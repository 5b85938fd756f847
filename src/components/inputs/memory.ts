import { z } from 'zod';
import { defineInput } from '../../component/define.ts';
import { EndOfInputError } from '../../errors.ts';
import { Batch, nowMicros } from '../../message/batch.ts';
import { noReceipt } from '../../message/receipt.ts';

/** Messages written in the file itself. */
export const memoryInput = defineInput({
  type: 'memory',
  givesBytes: true,
  summary: 'Reads the messages that the configuration lists, then ends.',
  status: 'stable',
  schema: z.strictObject({
    messages: z.array(z.string()).min(1).describe('The payload of each message.'),
  }),
  examples: [
    { title: 'Two messages', yaml: 'type: memory\nmessages:\n  - \'{"a": 1}\'\n  - \'{"a": 2}\'\n' },
  ],
  create({ messages }, { name }) {
    const origin = { source: name ?? 'memory', ext: {} };
    let given = false;
    return {
      connect: () => Promise.resolve(),
      close: () => Promise.resolve(),
      read() {
        if (given) return Promise.reject(new EndOfInputError());
        given = true;
        const payloads = messages.map((message) => Buffer.from(message));
        const runs = [{ start: 0, origin, time: nowMicros() }];
        return Promise.resolve({ batch: new Batch(payloads, { runs }), receipt: noReceipt });
      },
    };
  },
});
