import type { Writable } from 'node:stream';
import { z } from 'zod';
import { defineOutput, type OutputDefinition } from '../../component/define.ts';
import type { Context } from '../../component/context.ts';
import type { Output, WriteResult } from '../../component/contracts.ts';
import type { Framer } from '../../component/framing/framer.ts';
import { openFramer } from '../../component/framing/open-framing.ts';
import { MillraceError, errorMessage, printable } from '../../errors.ts';
import type { Batch } from '../../message/batch.ts';
import { textOf } from '../../message/text.ts';

const schema = z
  .strictObject({
    append_newline: z
      .boolean()
      .default(true)
      .describe('With `false`, nothing is written between messages: the same as `framing: none`.'),
  })
  .superRefine((value, context) => {
    const { append_newline, framing } = value as typeof value & { readonly framing?: { type?: string } };
    if (append_newline || framing === undefined || framing.type === 'lines') return;
    const message = 'means `framing: none`, but there is a `framing` too; use one of the two';
    context.addIssue({ code: 'custom', path: ['append_newline'], message });
  });

/** Standard output. */
export const stdoutOutput = defineOutput({
  type: 'stdout',
  summary: 'Writes each message to standard output, one line each unless `framing` says otherwise.',
  status: 'stable',
  framing: 'stream',
  description:
    'Logs go to standard error, so a pipe gets only data. On a terminal, control characters are shown as `\\u001b`. [Lines](../framing/lines.md) explains line breaks in messages. With `json_array`, each batch is an array on a line of its own.',
  schema,
  examples: [
    { title: 'One message a line', yaml: 'type: stdout\n' },
    {
      title: 'Messages that end with a NUL, for `xargs -0`',
      yaml: 'type: stdout\nframing:\n  type: delimiter\n  delimiter: "\\0"\n',
    },
  ],
  create: (config, context) => new StdoutOutput(config, context, process),
});

/** The same output, to a stream that replaces the process's own. */
export function stdoutTo(stdout: Stdio['stdout']): OutputDefinition {
  const create = (config: z.output<typeof schema>, context: Context): Output =>
    new StdoutOutput(config, context, { stdout });
  return { ...stdoutOutput, create };
}

interface Stdio {
  readonly stdout: Writable & { readonly isTTY?: boolean };
}

class StdoutOutput implements Output {
  readonly #framer: Framer;
  readonly #stdio: Stdio;

  constructor(config: z.output<typeof schema>, context: Context, stdio: Stdio) {
    this.#stdio = stdio;
    const { framing } = config as typeof config & { readonly framing: object };
    this.#framer = openFramer(
      { framing: config.append_newline ? framing : { ...framing, type: 'none' } },
      context,
    )!;
  }

  prepare(): Promise<void> {
    if (!this.#framer.compresses) return Promise.resolve();
    const message = 'is for frames, but standard output is a stream; pipe it through gzip or zstd';
    const field = 'framing.compression';
    return Promise.reject(new MillraceError('MILLRACE_CONFIG_INVALID', message, { field, fatal: true }));
  }

  connect(): Promise<void> {
    // Each write hears of its own error; without a listener the same error would end the process.
    const { stdout } = this.#stdio;
    if (!stdout.listeners('error').includes(ignore)) stdout.on('error', ignore);
    return Promise.resolve();
  }

  async write(batch: Batch): Promise<WriteResult> {
    const { data, refusals } = this.#framer.stream(batch);
    const { stdout } = this.#stdio;
    await new Promise<void>((resolve, reject) => {
      // On a terminal, control characters that would steer it are escaped; a file or a pipe gets every byte as it is.
      stdout.write(stdout.isTTY === true ? printable(textOf(data)) : data, (error) => {
        if (error === null || error === undefined) return resolve();
        // The reader has gone (a closed pipe), and does not come back.
        const message = `nobody reads standard output any more (${errorMessage(error)})`;
        reject(new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause: error, fatal: true }));
      });
    });
    return { refused: refusals };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function ignore(): void {}
