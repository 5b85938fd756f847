import { z } from 'zod';
import { defineCodec } from '../../component/define.ts';
import { checkText } from '../../component/payloads.ts';

export const textCodec = defineCodec({
  type: 'text',
  summary: 'Each message is text in UTF-8; any other message is rejected.',
  status: 'stable',
  description: `
On an input, a message must be valid UTF-8; it may be empty. The payload passes byte for byte, including a byte
order mark. On an output, the same applies to the messages to write; JSON is written as its text.
`.trim(),
  schema: z.strictObject({}),
  examples: [{ title: 'Messages are text', yaml: 'type: text' }],
  create: () => ({
    decode: checkText,
    encode: checkText,
  }),
});
