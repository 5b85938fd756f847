import { Command, CommanderError } from 'commander';
import { nearest } from '../config/nearest.ts';
import { addClientCommands } from './client-commands.ts';
import type { CheckOptions } from './check.ts';
import { version } from '../telemetry/version.ts';
import { addReplayCommand } from './replay.ts';
import { type Printable, type Shell, UsageError } from './shell.ts';
import { addSqlCommand } from './sql.ts';

const examples = `
Examples:
  $ millrace run orders.yaml           run the streams of a file
  $ millrace check orders.yaml         list the mistakes of a file
  $ millrace check --dial orders.yaml  and connect its inputs and outputs once
  $ millrace list                      list the components
  $ millrace list websocket            list the fields of a component
  $ millrace schema > millrace.json    JSON Schema of the file, for editors
  $ millrace send URL readings.jsonl   send lines to a WebSocket server
  $ millrace tail URL                  print what a WebSocket server sends
  $ millrace sql QUERY FILE            run a query over a file, a URL or a stream
  $ millrace replay FILE --to URL      send dead letters again
  $ millrace wal ./data/wal            show the contents of a stream's log

Data goes to stdout, the log to stderr. Exit codes: 0 done, 1 a mistake in the file, or a failed stream or connection,
2 a mistake on the command line.`;

/**
 * Runs one command line and resolves with its exit code.
 * @throws the error of the command, except mistakes on the command line
 */
export async function runProgram(argv: readonly string[], shell: Shell): Promise<number> {
  let code = 0;
  let output = Promise.resolve();
  const program = new Command('millrace')
    .description('Takes messages from WebSockets, transforms them, and writes them where you need them.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .addHelpText('after', examples)
    .option('-c, --config <file>', 'run this file, as `run` does')
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('(millrace --help shows every command)')
    .configureOutput({
      writeOut: (text) => {
        output = output.then(() => shell.out(text));
      },
      writeErr: (text) => shell.err(text),
      getOutHelpWidth: () => helpWidth(shell.stdio.stdout),
      getErrHelpWidth: () => helpWidth(shell.stdio.stderr),
    })
    .action(async ({ config }: { config?: string }) => {
      const [word] = program.args;
      if (word !== undefined) throw new UsageError(unknownCommand(word, program));
      if (config === undefined) program.help({ error: true });
      else code = await run(shell, config);
    });

  program
    .command('run')
    .description('run the streams of a file until they end, or until SIGTERM or SIGINT')
    .argument('[file]', '.yaml, .yml, .json or .toml')
    .option('-c, --config <file>', 'another way to name the file')
    .action(async (file: string | undefined, { config }: { config?: string }) => {
      if (file !== undefined && config !== undefined) throw new UsageError('expected one file, not two');
      const chosen = file ?? config;
      if (chosen === undefined) throw new UsageError('expected a file: millrace run FILE');
      code = await run(shell, chosen);
    });

  program
    .command('check')
    .description('list the mistakes of a file')
    .argument('<file>', '.yaml, .yml, .json or .toml')
    .option('--dial', 'also connect every input and output once, and open each log')
    .option('--timeout <duration>', 'how long --dial waits for all of them', '10s')
    .option(
      '--sample <messages>',
      'also send the messages of this file through a stream, without its outputs',
    )
    .option('--stream <id>', 'the stream for --sample, if the file has several')
    .action(async (file: string, options: CheckOptions) => {
      const { checkCommand } = await import('./check.ts');
      code = await checkCommand(shell, file, options);
    });

  program
    .command('schema')
    .description('print the JSON Schema of a configuration file')
    .option('-c, --config <file>', 'with the components of its `plugins`')
    .action(async ({ config }: { config?: string }) => {
      const { schemaCommand } = await import('./schema.ts');
      code = await schemaCommand(shell, config);
    });

  program
    .command('list')
    .description('list the components, or the fields of one')
    .argument('[name]', 'a component, such as websocket')
    .option('-c, --config <file>', 'also the components of its `plugins`')
    .action(async (name: string | undefined, { config }: { config?: string }) => {
      const { listCommand } = await import('./list.ts');
      code = await listCommand(shell, name, config);
    });

  program
    .command('wal')
    .description('show the contents of the log of a stream with `durability`; the stream may be running')
    .argument('<path>', 'the folder that `durability.path` names')
    .option('--export', 'write the messages that are not delivered yet to stdout, one a line')
    .option('--json', 'with --export: write JSON, including metadata')
    .action(async (path: string, options: { export?: boolean; json?: boolean }) => {
      if (options.json === true && options.export !== true) throw new UsageError('--json needs --export');
      const { walCommand } = await import('./wal.ts');
      code = await walCommand(shell, path, options);
    });

  addClientCommands(program, shell, (exitCode) => {
    code = exitCode;
  });

  addReplayCommand(program, shell, (exitCode) => {
    code = exitCode;
  });

  addSqlCommand(program, shell, (exitCode) => {
    code = exitCode;
  });

  // Not before the commands, which would inherit it.
  program.allowExcessArguments();
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) code = error.exitCode === 0 ? 0 : 2;
    else if (error instanceof UsageError) {
      shell.err(`error: ${error.message}\n`);
      code = 2;
    } else throw error;
  }
  await output;
  return code;
}

/** The width of the terminal, or 80. */
function helpWidth(stream: Printable): number {
  return (stream.isTTY === true ? stream.columns : undefined) ?? 80;
}

function unknownCommand(word: string, program: Command): string {
  if (/\.(?:ya?ml|json|toml)$/i.test(word))
    return `expected a command before ${word}; try millrace run ${word}`;
  const meant = nearest(
    word,
    program.commands.map((command) => command.name()),
  );
  return `no command is called ${word}; ${meant === undefined ? 'millrace --help shows all' : `did you mean ${meant}?`}`;
}

async function run(shell: Shell, file: string): Promise<number> {
  const { runCommand } = await import('./run.ts');
  return await runCommand(shell, file);
}
