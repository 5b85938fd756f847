import type { Writable } from 'node:stream';
import { z } from 'zod';
import { defineOutput, type OutputDefinition } from '../../component/define.ts';
import type { Output } from '../../component/contracts.ts';
import { MessagesRefusedError, MillraceError, errorMessage, printable } from '../../errors.ts';
import type { Batch } from '../../message/batch.ts';
import { toLines } from '../../message/lines.ts';

/** Standard output, a message a line. */
export const stdoutOutput = defineOutput({
  type: 'stdout',
  summary: 'Writes each message as a line to standard output.',
  status: 'stable',
  description:
    'Logs go to standard error, so what you pipe on is data alone. On a terminal, control characters are shown as `\\u001b`. Line breaks at the end of a message are the end of its line. JSON over several lines is written as one, without the whitespace between its tokens. Any other message that has a line break inside goes to `error_output`, unless the output has a `json` codec or `append_newline` is false.',
  schema: z.strictObject({
    append_newline: z
      .boolean()
      .default(true)
      .describe(
        'End each message with a line feed. Without it payloads are written one after the other, as they are.',
      ),
  }),
  examples: [{ title: 'A message a line', yaml: 'type: stdout\n' }],
  create: ({ append_newline }) => new StdoutOutput(append_newline, process),
});

/** The same output to a stream in place of that of the process. */
export function stdoutTo(stdout: Stdio['stdout']): OutputDefinition {
  const create = ({ append_newline }: { append_newline: boolean }): Output =>
    new StdoutOutput(append_newline, { stdout });
  return { ...stdoutOutput, create };
}

interface Stdio {
  readonly stdout: Writable & { readonly isTTY?: boolean };
}

class StdoutOutput implements Output {
  readonly #appendNewline: boolean;
  readonly #stdio: Stdio;

  constructor(appendNewline: boolean, stdio: Stdio) {
    this.#appendNewline = appendNewline;
    this.#stdio = stdio;
  }

  connect(): Promise<void> {
    // Each write has its own answer; without a listener the same error would end the process.
    const { stdout } = this.#stdio;
    if (!stdout.listeners('error').includes(ignore)) stdout.on('error', ignore);
    return Promise.resolve();
  }

  async write(batch: Batch): Promise<void> {
    const { lines, refusals } = this.#appendNewline
      ? toLines(batch)
      : { lines: Buffer.concat(batch.payloads), refusals: [] };
    const { stdout } = this.#stdio;
    await new Promise<void>((resolve, reject) => {
      // What would steer a terminal is shown there; into a file or a pipe goes every byte as it is.
      stdout.write(stdout.isTTY === true ? printable(lines.toString()) : lines, (error) => {
        if (error === null || error === undefined) return resolve();
        // Nobody reads any more (a closed pipe); that does not come back.
        const message = `nobody reads standard output any more (${errorMessage(error)})`;
        reject(new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause: error, fatal: true }));
      });
    });
    if (refusals.length > 0) throw new MessagesRefusedError(refusals);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function ignore(): void {}
