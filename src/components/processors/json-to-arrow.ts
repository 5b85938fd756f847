import { z } from 'zod';
import { defineProcessor } from '../../component/define.ts';
import {
  checkJson,
  convertEach,
  jsonProblem,
  keepFields,
  type PayloadProblem,
} from '../../component/payloads.ts';
import { MillraceError } from '../../errors.ts';
import { jsonMembers } from '../../message/json.ts';
import { textOf } from '../../message/text.ts';

/** The payload itself, under its name as a column. */
const PAYLOAD = '__value__';

/** Makes sure that every message is JSON. */
export const jsonToArrowProcessor = defineProcessor({
  type: 'json_to_arrow',
  summary: 'Makes sure that every message is JSON, and can keep only some fields.',
  status: 'stable',
  description: `
Accepted so that ArkFlow files run. Millrace has no Arrow: messages stay bytes, and \`sql\` reads JSON directly. A message
that is not exactly one JSON value (RFC 8259) in UTF-8 is rejected, as by the \`json\` codec; the others pass byte for
byte. With \`value_field\`, the message must be an object, and the JSON in that field's string replaces it;
if the field is missing, is not a string or does not hold JSON, the message is rejected.
`.trim(),
  schema: z.strictObject({
    value_field: z
      .string()
      .default(PAYLOAD)
      .describe('The field whose text is the JSON. `__value__` means the payload itself.'),
    fields_to_include: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        'The top-level fields to keep, in the message’s own order. Without it, all stay. A message that is not an object is left unchanged.',
      ),
  }),
  examples: [
    { title: 'The payload is JSON', yaml: 'type: json_to_arrow' },
    {
      title: 'JSON inside a field, and two fields of it',
      yaml: 'type: json_to_arrow\nvalue_field: data\nfields_to_include: [sensor_id, temperature]\n',
    },
  ],
  create({ value_field, fields_to_include }) {
    const names = fields_to_include === undefined ? undefined : new Set(fields_to_include);
    return {
      process(batch, { reject }) {
        const json =
          value_field === PAYLOAD
            ? checkJson(batch, reject)
            : convertEach(batch, 'json', reject, (payload, knownUtf8) => {
                const known = batch.format === 'json';
                return (known ? undefined : jsonProblem(payload, knownUtf8)) ?? unwrap(payload, value_field);
              });
        if (json.length === 0) return [];
        return [names === undefined ? json : keepFields(json, names)];
      },
    };
  },
});

/** The JSON that the string member `field` of a JSON object holds. */
function unwrap(payload: Uint8Array, field: string): Uint8Array | PayloadProblem {
  const members = jsonMembers(payload);
  if (members === undefined) return failed(field, 'the message is not an object');
  const found = members.filter((member) => member.name === field);
  const [member] = found;
  if (member === undefined) return failed(field, 'the message has no such field');
  if (found.length > 1) return failed(field, 'the message has it more than once');
  const value: unknown = JSON.parse(textOf(payload, member.valueStart, member.end));
  if (typeof value !== 'string') return failed(field, 'it is not a string');
  if (!value.isWellFormed()) return failed(field, 'its text has half a surrogate pair');
  const content = Buffer.from(value);
  const problem = jsonProblem(content, true);
  return problem === undefined ? content : { error: problem.error, field };
}

function failed(field: string, reason: string): PayloadProblem {
  const message = `expected JSON text in the field \`${field}\`, but ${reason}`;
  return { error: new MillraceError('MILLRACE_PROCESSOR_FAILED', message), field };
}
