import { z } from 'zod';
import { defineCodec } from '../../component/define.ts';

export const binaryCodec = defineCodec({
  type: 'binary',
  summary: 'Each message is bytes, which pass unchanged.',
  status: 'stable',
  description: `
Nothing is checked or rejected; a message may be empty. Without a codec, an input and an output do the same.
`.trim(),
  schema: z.strictObject({}),
  examples: [{ title: 'Messages are bytes', yaml: 'type: binary' }],
  create: () => ({
    decode: (batch) => batch.withFormat('bytes'),
    encode: (batch) => batch.withFormat('bytes'),
  }),
});
