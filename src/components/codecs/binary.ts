import { z } from 'zod';
import { defineCodec } from '../../component/define.ts';

export const binaryCodec = defineCodec({
  type: 'binary',
  summary: 'Each message is bytes, which pass unchanged.',
  status: 'stable',
  description: `
Nothing is looked at and nothing is rejected; a message may be empty. With no codec an input and an output do the same.
`.trim(),
  schema: z.strictObject({}),
  examples: [{ title: 'Messages are bytes', yaml: 'type: binary' }],
  create: () => ({
    decode: (batch) => batch.withFormat('bytes'),
    encode: (batch) => batch.withFormat('bytes'),
  }),
});
