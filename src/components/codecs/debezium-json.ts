import { z } from 'zod';
import { defineCodec } from '../../component/define.ts';
import { convertEach, encodeAsJson, jsonProblem, type PayloadProblem } from '../../component/payloads.ts';
import { declareErrors, MillraceError } from '../../errors.ts';
import { jsonMembers, type JsonMember } from '../../message/json.ts';
import { textOf } from '../../message/text.ts';

/** The code for a message that is JSON, but not of Debezium. */
export const debeziumErrors = declareErrors({
  MILLRACE_CODEC_NO_EVENT: {
    help: 'A message is no change event of Debezium, and its codec is `debezium_json`. It went to `error_output`.',
    told: 'the message is no change event of Debezium',
  },
});

/** The members that the codec adds to a row; a column of the database under such a name gives way. */
const ADDED = new Set(['op', 'ts_ms', 'source_db', 'source_table', 'before', 'source']);

const NULL = Buffer.from('null');

/** Change events of Debezium, as ArkFlow's codec of this name reads them. */
export const debeziumJsonCodec = defineCodec({
  type: 'debezium_json',
  summary: 'Each message is a change event of Debezium in JSON, and becomes the row that it is about.',
  status: 'stable',
  description: `
On an input, a message is the envelope that Debezium writes: an object with \`op\`, \`before\`, \`after\`, \`source\` and \`ts_ms\`,
or one with such an object in \`payload\` beside its \`schema\`. The message becomes one object:

- the columns of the row: those of \`after\`, or of \`before\` if there is no \`after\`, as in a delete
- \`op\` (\`c\`, \`u\`, \`d\` or \`r\`) and \`ts_ms\`
- \`source_db\` and \`source_table\`, from \`source\`
- \`before\` and \`source\` whole, as text that is JSON (\`before->>'name'\`), or null

Values keep their spelling. If the row has a column with one of these six names, the column is left out; it is still in
\`before\`. A message that is not JSON, or has no \`op\`, is rejected. So is the tombstone that Debezium can send
after a delete; \`tombstones.on.delete=false\` turns it off there.

On an output, the codec does the same as [\`json\`](json.md).
`.trim(),
  schema: z.strictObject({}),
  examples: [{ title: 'Changes of a database', yaml: 'type: debezium_json' }],
  create: () => ({
    decode: (batch, reject) =>
      convertEach(batch, 'json', reject, (payload, knownUtf8) => {
        const known = batch.format === 'json';
        return (known ? undefined : jsonProblem(payload, knownUtf8)) ?? rowOf(payload);
      }),
    encode: encodeAsJson,
  }),
});

/** The members of an object by name; of those with the same name, the last. */
type Members = ReadonlyMap<string, JsonMember>;

function rowOf(payload: Uint8Array): Uint8Array | PayloadProblem {
  const outer = membersOf(payload);
  const inner = outer?.has('schema') === true ? valueOf(payload, outer, 'payload') : undefined;
  const event = inner ?? payload;
  const envelope = inner === undefined ? outer : membersOf(inner);
  if (envelope?.get('op') === undefined) return noEvent();
  const before = valueOf(event, envelope, 'before');
  const source = valueOf(event, envelope, 'source');
  const row = objectIn(valueOf(event, envelope, 'after')) ?? objectIn(before);
  const origin = membersOf(source ?? NULL);
  const parts: Uint8Array[] = [];
  for (const [name, { start, end }] of membersOf(row ?? NULL) ?? [])
    if (!ADDED.has(name)) parts.push(row!.subarray(start, end), COMMA);
  const add = (name: string, value: Uint8Array | undefined): void => {
    parts.push(Buffer.from(`"${name}":`), value ?? NULL, COMMA);
  };
  add('op', valueOf(event, envelope, 'op'));
  add('ts_ms', valueOf(event, envelope, 'ts_ms'));
  add('source_db', origin && valueOf(source!, origin, 'db'));
  add('source_table', origin && valueOf(source!, origin, 'table'));
  add('before', quoted(before));
  add('source', quoted(source));
  return Buffer.concat([OPEN, ...parts.slice(0, -1), CLOSE]);
}
const OPEN = Buffer.from('{');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from('}');

function membersOf(payload: Uint8Array): Members | undefined {
  const members = jsonMembers(payload);
  return members && new Map(members.map((member) => [member.name, member]));
}

function valueOf(payload: Uint8Array, members: Members, name: string): Uint8Array | undefined {
  const member = members.get(name);
  return member && payload.subarray(member.valueStart, member.end);
}

function objectIn(value: Uint8Array | undefined): Uint8Array | undefined {
  return value !== undefined && jsonMembers(value) !== undefined ? value : undefined;
}

/** JSON as a JSON string. */
function quoted(value: Uint8Array | undefined): Uint8Array | undefined {
  if (value === undefined || Buffer.compare(value, NULL) === 0) return undefined;
  return Buffer.from(JSON.stringify(textOf(value, 0, value.length)));
}

function noEvent(): PayloadProblem {
  const message = 'the message is no change event of Debezium: it has no `op`';
  return { error: new MillraceError(debeziumErrors.MILLRACE_CODEC_NO_EVENT, message) };
}
