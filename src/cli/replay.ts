import { type Command, Option } from 'commander';
import {
  addClientOptions,
  addSendingOptions,
  type ClientOptions,
  connectionHelp,
  positiveInteger,
  repeated,
  type SendingOptions,
} from './client-options.ts';
import { nearest } from '../config/nearest.ts';
import { Letters } from './replay-letters.ts';
import { type Shell, UsageError } from './shell.ts';

export interface ReplayOptions extends ClientOptions, SendingOptions {
  readonly to: string;
  readonly stream?: string;
  readonly code?: readonly string[];
  readonly stage?: readonly string[];
  readonly skip?: number;
}

/** The options that are not about a connection. */
const own: ReadonlySet<string> = new Set(['to', 'stream', 'code', 'stage', 'skip']);

const help = `
FILE contains dead letters as error_output writes them, or the output of \`millrace wal PATH --export --json\`; - is
stdin. The file is not changed. Every line is checked before the first is sent; from stdin, everything before a wrong
line is sent.

--to URL sends the payloads, as \`millrace send\` does. --to CONFIG (a name that ends in .yaml, .yml, .json or .toml)
sends them through the codec, the pipeline, the output and the error_output of a stream, with their original metadata,
in this process. Its input is not started, nor is anything else in the file.
${connectionHelp}

Examples:
  $ millrace replay rejected.jsonl --to ws://localhost:8080/orders
  $ millrace replay rejected.jsonl --to localhost:8080/orders --id id --ack ack --reconnect
  $ millrace replay rejected.jsonl --to streams.yaml --stream orders --code MILLRACE_SQL_FIELD_CONFLICT
  $ millrace wal ./data/orders.log --export --json | millrace replay - --to streams.yaml

The last line on stderr shows the progress. To continue from there, or to send lines that were added to the file later,
skip the lines that have been sent with --skip.
Exit codes: 0 all confirmed, 1 a failure, 2 a mistake on the command line.`;

/** Adds `replay`. `done` is told the exit code. */
export function addReplayCommand(program: Command, shell: Shell, done: (code: number) => void): void {
  const command = program
    .command('replay')
    .description('send dead letters again, to a WebSocket server or through a stream of a file')
    .argument('<file>', 'the dead letters, one JSON object a line; - for stdin')
    .requiredOption('--to <url|config>', 'a WebSocket server, or a configuration file')
    .option('--stream <id>', 'the stream of the file, if it has several')
    .addOption(repeated('--code <code>', 'send only letters with this error code; repeatable'))
    .addOption(
      repeated(
        '--stage <stage>',
        'send only letters that this stage rejected: codec, processor, output; repeatable',
        ['codec', 'processor', 'output'],
      ),
    )
    .addOption(
      new Option('--skip <n>', 'skip this many lines at the start of the file').argParser(positiveInteger),
    );
  addClientOptions(addSendingOptions(command))
    .addHelpText('after', help)
    .action(async (file: string, options: ReplayOptions) => {
      const given = Object.keys(options).filter((name) => command.getOptionValueSource(name) === 'cli');
      done(await replayCommand(shell, file === '-' ? undefined : file, options, new Set(given)));
    });
}

/** `millrace replay FILE --to URL|CONFIG`; `given` are the options that the command line has. */
async function replayCommand(
  shell: Shell,
  file: string | undefined,
  options: ReplayOptions,
  given: ReadonlySet<string>,
): Promise<number> {
  await checkCodes(options.code ?? []);
  const letters = new Letters({
    file,
    stdin: () => shell.stdio.stdin,
    skip: options.skip ?? 0,
    codes: options.code ?? [],
    stages: options.stage ?? [],
  });
  const replay = await target(shell, file, options, given);
  await letters.check();
  const replayed = await replay(letters);
  if (replayed.failure !== undefined) shell.err(`${replayed.failure}\n`);
  const { replaySummary } = await import('./replay-summary.ts');
  shell.err(`${await replaySummary(letters, replayed)}\n`);
  return replayed.failure === undefined && replayed.confirmed === letters.total ? 0 : 1;
}

/** @throws UsageError for a code that no error of Millrace has; codes of other components are not known here */
async function checkCodes(codes: readonly string[]): Promise<void> {
  if (codes.length === 0) return;
  const { errorCodes } = await import('./error-codes.ts');
  for (const code of codes) {
    if (code in errorCodes || /^(?!MILLRACE_)[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$/.test(code)) continue;
    const meant = nearest(code, Object.keys(errorCodes));
    const hint = meant === undefined ? 'There is no such code.' : `Did you mean ${meant}?`;
    throw new UsageError(`option '--code <code>' argument '${code}' is invalid. ${hint}`);
  }
}

async function target(
  shell: Shell,
  file: string | undefined,
  options: ReplayOptions,
  given: ReadonlySet<string>,
) {
  const { to, stream } = options;
  if (to.includes('://') || !/\.(?:ya?ml|json|toml)$/i.test(to)) {
    if (stream !== undefined) throw new UsageError('--stream needs a configuration file');
    const { urlReplay } = await import('./replay-url.ts');
    return urlReplay(shell, to, options);
  }
  for (const name of given) {
    if (own.has(name)) continue;
    const option = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--${option} needs --to URL`);
  }
  const { configReplay } = await import('./replay-config.ts');
  return await configReplay(shell, to, { file, stream });
}
