import { z } from 'zod';
import { defineFraming } from '../../component/define.ts';
import { RecordDecoder, framingError } from '../../component/framing/records.ts';
import { MillraceError } from '../../errors.ts';

const schema = z.strictObject({
  delimiter: z
    .string()
    .min(1)
    .max(64)
    .meta({ shown: true })
    .describe(
      'The 1 to 64 characters that end each message: `"\\x1e"` (in double quotes, for YAML), `;`, `"\\r\\n"`.',
    ),
  terminated: z
    .boolean()
    .default(true)
    .describe(
      'The last message of a frame ends with the delimiter, too; bytes without one are rejected. With `false`, the delimiter stands only between messages.',
    ),
});

/** Each message ends with the same characters. */
export const delimiterFraming = defineFraming({
  type: 'delimiter',
  summary: 'Each message ends with characters of your choice, such as SignalR’s 0x1e.',
  status: 'stable',
  description:
    'A message may be empty. On an output, a message that contains the delimiter goes to `error_output`: the reader would see two messages.',
  schema,
  examples: [
    { title: 'The text protocol of SignalR (0x1e)', yaml: 'type: delimiter\ndelimiter: "\\x1e"\n' },
    {
      title: 'Messages with semicolons between them',
      yaml: 'type: delimiter\ndelimiter: ;\nterminated: false\n',
    },
  ],
  create: ({ delimiter: text, terminated }) => {
    const delimiter = Buffer.from(text);
    const shown = JSON.stringify(text);
    const unterminated = terminated
      ? framingError(
          `the message does not end with the delimiter ${shown}; with \`terminated: false\` it need not`,
        )
      : undefined;
    const inside = `the message has the delimiter ${shown} inside, or would have it with the one behind it`;
    return {
      decoder: (maxMessageSize) =>
        new RecordDecoder({
          delimiter,
          maxMessageSize,
          message: (record) => record,
          unterminated,
          separates: !terminated,
        }),
      binary: false,
      overhead: delimiter.length,
      terminator: terminated ? delimiter : undefined,
      fit: (payload) =>
        Buffer.from(payload.buffer, payload.byteOffset, payload.length).includes(delimiter) ||
        endsEarly(payload, delimiter)
          ? new MillraceError('MILLRACE_OUTPUT_REFUSED', inside)
          : payload,
      join: (messages) => {
        const parts: Uint8Array[] = [];
        for (const message of messages) parts.push(message, delimiter);
        if (!terminated) parts.pop();
        return Buffer.concat(parts);
      },
    };
  },
});

/** Whether the end of a message and the beginning of the delimiter already make a delimiter, as `a` and `aa` do. */
function endsEarly(message: Uint8Array, delimiter: Buffer): boolean {
  if (delimiter.length === 1) return false;
  const end = message.subarray(Math.max(0, message.length - delimiter.length + 1));
  return Buffer.concat([end, delimiter]).indexOf(delimiter) < end.length;
}
