import { defineProcessor, z, type Processor } from '../src/index.ts';

/** The text in a message that ends the process. */
export const POISON = '"poison"';

/** A processor with a fault that native code can have: one message ends the process, at once and with signal 11. */
export const crasher = defineProcessor({
  type: 'crasher',
  summary: 'Ends the process of the fault campaign for some messages.',
  status: 'stable',
  schema: z.strictObject({}),
  examples: [],
  create: (): Processor => ({
    process: (batch) => {
      if (batch.payloads.some((payload) => Buffer.from(payload).includes(POISON))) {
        process.kill(process.pid, 'SIGSEGV');
        // Nothing else of the process may continue until then.
        for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
      }
      return [batch];
    },
  }),
});
