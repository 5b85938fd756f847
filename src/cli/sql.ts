import { type Command, Option } from 'commander';
import type { ComponentConfig } from '../component/context.ts';
import { parseConfig } from '../config/load.ts';
import { addClientOptions, connectionHelp, positiveInteger, repeated } from './client-options.ts';
import { readDuration } from './client-settings.ts';
import { handleSignals } from './run.ts';
import { type Shell, UsageError } from './shell.ts';
import type { Source, SqlOptions } from './sql-source.ts';

/** The window of a feed, unless the command line has another. */
const FEED_WINDOW = '1s';

/** Limits for a file that is one table, and the time that a query may take over it. */
const WHOLE = { memory: '1GiB', database: '4GiB', timeout: '10m' };

const help = `
The table is flow: SELECT sensor, avg(temperature) FROM flow GROUP BY sensor.

SOURCE is one of
  a file       JSON lines, or a JSON array; .gz and .zst are decompressed; - is stdin. The whole file is one table.
  a URL        the messages of a WebSocket server, until Ctrl-C. Each second is a table; --window sets another length,
               --window 0 runs the query on messages as they arrive.
  a .yaml file a stream of this configuration, run in this process as far as --stage, without its log and its outputs.
               A stream that acknowledges its messages is refused: its senders would lose what you look at.

On a terminal, the rows are a table, which the next window replaces. Otherwise, each row is a line of JSON.
${connectionHelp}

Examples:
  $ millrace sql 'SELECT sensor, avg(t) FROM flow GROUP BY sensor' readings.jsonl
  $ millrace sql 'SELECT * FROM flow WHERE price > 100' wss://feed.example.com/trades --window 0 | jq .price
  $ millrace sql 'SELECT count(*) AS messages FROM flow' localhost:8080/feed --window 5s
  $ millrace sql 'SELECT * FROM flow LIMIT 5' streams.yaml --stream orders --stage input

Exit codes: 0 the file has ended, or Ctrl-C, --count or a reader that went away ended it; 1 a failure, 2 a mistake on the
command line or in the query.`;

/** Adds `sql`. `done` is told the exit code. */
export function addSqlCommand(program: Command, shell: Shell, done: (code: number) => void): void {
  addClientOptions(
    program
      .command('sql')
      .description('run a query over a file, a WebSocket server or a stream, and print its rows')
      .argument('<query>', 'a SELECT statement over the table flow')
      .argument('<source>', 'a file, a URL or a configuration file; - is stdin')
      .option('--window <duration>', 'the length of a table of a feed (default: 1s); 0 for none')
      .addOption(
        new Option('--codec <codec>', 'the format of messages')
          .choices(['json', 'text', 'none'])
          .default('json'),
      )
      .addOption(
        new Option(
          '--format <format>',
          'how to print rows (default: table on a terminal, else ndjson)',
        ).choices(['table', 'ndjson']),
      )
      .option('--count <n>', 'end after this many rows', positiveInteger)
      .addOption(
        repeated('--column <name=type>', 'the type of a column, such as price=DECIMAL(18,8); repeatable'),
      )
      .addOption(
        repeated('--send <text>', 'send this after each connect, such as a subscription; repeatable'),
      )
      .option('--stream <id>', 'the stream of the configuration, if it has several')
      .option(
        '--stage <stage>',
        'the last stage to run: input, buffer, processors.<n> or output (default: output)',
      ),
  )
    .addHelpText('after', help)
    .action(async (query: string, source: string, options: SqlOptions) => {
      done(await sqlCommand(shell, query, source, options));
    });
}

/** `millrace sql QUERY SOURCE`: a stream of this process, which ends in a table on the terminal. */
async function sqlCommand(shell: Shell, query: string, name: string, options: SqlOptions): Promise<number> {
  const [{ sourceOf }, { PrintOutput, PRINT }, { wholeBuffer }, { Engine }] = await Promise.all([
    import('./sql-source.ts'),
    import('./sql-print.ts'),
    import('./sql-whole.ts'),
    import('../runtime/engine.ts'),
  ]);
  const source = await sourceOf(shell, name, options);
  const { stdout } = shell.stdio;
  const output = new PrintOutput({
    stdout,
    format: options.format ?? (stdout.isTTY === true ? 'table' : 'ndjson'),
    live: source.live,
    count: options.count ?? Infinity,
    done: () => engine.stop(),
  });
  const registry = source.registry.with([output.definition, wholeBuffer]);
  const { stream } = source;
  const { state, processors } = queryOf(query, source, options, registry);
  const plan = {
    ...source.plan,
    health_check: { ...source.plan.health_check, enabled: false },
    streams: [
      {
        ...stream,
        state: source.live ? stream.state : state,
        pipeline: { thread_num: 1, processors: [...stream.pipeline.processors, ...processors] },
        output: { type: PRINT },
      },
    ],
  };
  const logger = shell.logger({ level: 'warn', format: source.plan.logging.format });
  const engine = new Engine(plan, { registry, logger, env: shell.env });
  const mistakes = await engine.prepare();
  if (mistakes.length > 0) {
    await engine.close();
    throw new UsageError(mistakes.map(({ message }) => message).join('\nerror: '));
  }
  const signals = handleSignals(engine, shell.logger({ level: 'error', format: source.plan.logging.format }));
  try {
    const { failed } = await Promise.race([engine.run(), signals.lost]);
    return failed.length > 0 || signals.aborted() ? 1 : 0;
  } finally {
    signals.ignore();
  }
}

/** The query as the end of a stream, behind the window that makes its table. */
function queryOf(
  query: string,
  { live, windowed }: Source,
  options: SqlOptions,
  registry: Source['registry'],
) {
  const window = options.window ?? (live && !windowed ? FEED_WINDOW : undefined);
  const isNone = window !== undefined && readDuration('--window', window) === 0;
  const isWhole = !live && window === undefined;
  const sql: ComponentConfig = {
    type: 'sql',
    query,
    schema: Object.fromEntries((options.column ?? []).map(columnOf)),
    ...(isWhole && {
      max_memory_bytes: WHOLE.database,
      max_result_bytes: WHOLE.memory,
      timeout: WHOLE.timeout,
    }),
  };
  const processors: ComponentConfig[] = [sql];
  if (isWhole) processors.unshift({ type: 'whole' });
  else if (window !== undefined && !isNone) processors.unshift({ type: 'tumbling_window', interval: window });
  const streams = [
    { input: { type: 'file', path: '-' }, state: { memory: WHOLE.memory }, pipeline: { processors } },
  ];
  // No text of the command line is to be filled in.
  const text = JSON.stringify({ health_check: { enabled: false }, streams }).replaceAll('${', () => '$${');
  const plan = parseConfig(text, { registry, format: 'json' });
  return { state: plan.streams[0]!.state, processors: plan.streams[0]!.pipeline.processors };
}

function columnOf(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`--column ${text}: expected name=TYPE, such as price=DOUBLE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
