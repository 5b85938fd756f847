import { z } from 'zod';
import { defineProcessor } from '../../component/define.ts';
import { encodeAsJson, keepFields } from '../../component/payloads.ts';

/** Makes every message JSON; the counterpart of `json_to_arrow`. */
export const arrowToJsonProcessor = defineProcessor({
  type: 'arrow_to_json',
  summary: 'Makes every message JSON, and can keep only some fields.',
  status: 'stable',
  description: `
Accepted so that ArkFlow files run. Millrace has no Arrow: messages stay bytes, and the rows that this processor gets from \`sql\` are JSON already.
An \`sql\` processor after it reads JSON, without the types of an \`sql\` before it.
JSON passes unchanged, byte for byte. Any other message becomes an object: \`{"__value__": "its text"}\`, or, if it is
not valid UTF-8, \`{"__value__": "its bytes in base64", "encoding": "base64"}\`. No message is rejected.
`.trim(),
  schema: z.strictObject({
    fields_to_include: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        'The top-level fields to keep, in the message’s own order. Without it, all stay. A message that is not an object is left unchanged.',
      ),
  }),
  examples: [
    { title: 'As JSON', yaml: 'type: arrow_to_json' },
    { title: 'Two fields', yaml: 'type: arrow_to_json\nfields_to_include: [sensor_id, temperature]\n' },
  ],
  create({ fields_to_include }) {
    const names = fields_to_include === undefined ? undefined : new Set(fields_to_include);
    return {
      process(batch) {
        const json = encodeAsJson(batch);
        return [names === undefined ? json : keepFields(json, names)];
      },
    };
  },
});
