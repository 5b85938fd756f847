import { z } from 'zod';
import { defineOutput } from '../../component/define.ts';

/** Confirms every message and keeps none. */
export const dropOutput = defineOutput({
  type: 'drop',
  summary: 'Discards every message.',
  status: 'stable',
  framing: 'none',
  schema: z.strictObject({}),
  examples: [{ title: 'Measure an input', yaml: 'type: drop\n' }],
  create: () => ({
    connect: () => Promise.resolve(),
    write: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }),
});
