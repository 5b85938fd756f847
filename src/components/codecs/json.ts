import { z } from 'zod';
import { defineCodec } from '../../component/define.ts';
import { checkJson, encodeAsJson } from '../../component/payloads.ts';
import type { Batch } from '../../message/batch.ts';
import { prettyJson } from '../../message/json-pretty.ts';

export const jsonCodec = defineCodec({
  type: 'json',
  summary: 'Each message is one JSON value; any other message is rejected.',
  status: 'stable',
  description: `
On an input, a message must be exactly one JSON value (RFC 8259) in UTF-8, with or without whitespace around it.
Any value will do: an object, a scalar or an array, which stays one message. The payload passes byte for byte, so
numbers keep all their digits and members their order. A message that is empty, begins with a byte order mark, is nested deeper than
512 levels or has anything after its value is rejected, with the place of the first wrong byte.

On an output, messages that are JSON are written unchanged. Others become an object: \`{"__value__": "the text"}\`, or,
if the payload is not valid UTF-8, \`{"__value__": "the bytes in base64", "encoding": "base64"}\`.
`.trim(),
  schema: z.strictObject({
    pretty: z
      .boolean()
      .default(false)
      .describe(
        'On an output, write each member and each element on a line of its own, indented by two spaces. Numbers and strings keep their spelling. An output that writes one message a line still does.',
      ),
  }),
  examples: [{ title: 'Messages are JSON', yaml: 'type: json' }],
  create: ({ pretty }) => ({
    decode: checkJson,
    encode: (batch) => (pretty ? indented(encodeAsJson(batch)) : encodeAsJson(batch)),
  }),
});

function indented(batch: Batch): Batch {
  return batch.withPayloads(batch.payloads.map(prettyJson), 'json');
}
