import { z } from 'zod';
import { defineFraming } from '../../component/define.ts';
import { RecordDecoder } from '../../component/framing/records.ts';
import { MillraceError } from '../../errors.ts';
import { asLine } from '../../message/lines.ts';

const LF = 10;
const CR = 13;
const SPACE = 32;
const TAB = 9;
const newline = Buffer.of(LF);

/** Each message is a line. */
export const linesFraming = defineFraming({
  type: 'lines',
  summary: 'Each line is a message, as in JSON lines (NDJSON).',
  status: 'stable',
  description: `
On an input, a line ends with a line feed, or a carriage return and a line feed; neither is part of the message. The last
line needs no end. A line that is empty, or has only spaces and tabs, is not a message.

On an output, each message ends with a line feed. A line break at the end of a message ends its line. JSON over several
lines becomes one line, without the whitespace between its tokens. Any other message with a line break inside goes to
\`error_output\`, unless the output has a \`json\` codec.
`.trim(),
  schema: z.strictObject({}),
  examples: [{ title: 'Lines', yaml: 'type: lines\n' }],
  create: () => ({
    decoder: (maxMessageSize) =>
      new RecordDecoder({
        delimiter: newline,
        maxMessageSize,
        message: messageOf,
        unterminated: undefined,
        separates: false,
      }),
    binary: false,
    overhead: 1,
    terminator: newline,
    fit: (payload, format) => (payload.includes(LF) ? lineOf(payload, format === 'json') : payload),
    join: (messages) => {
      let size = 0;
      for (const message of messages) size += message.length + 1;
      const frame = Buffer.allocUnsafe(size);
      let at = 0;
      for (const message of messages) {
        frame.set(message, at);
        at += message.length;
        frame[at++] = LF;
      }
      return frame;
    },
  }),
});

function lineOf(payload: Uint8Array, knownJson: boolean): Uint8Array | MillraceError {
  return (
    asLine(payload, knownJson) ??
    new MillraceError(
      'MILLRACE_OUTPUT_REFUSED',
      'the message has a line break inside and is not JSON, but the output writes one message a line; set `codec: { type: json }` on the output to write it as a JSON string',
    )
  );
}

/** The message of a line; undefined if it is blank. */
function messageOf(line: Uint8Array): Uint8Array | undefined {
  const end = line.at(-1) === CR ? line.length - 1 : line.length;
  let at = 0;
  while (at < end && (line[at] === SPACE || line[at] === TAB)) at++;
  if (at === end) return undefined;
  return end === line.length ? line : line.subarray(0, end);
}
