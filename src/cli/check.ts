import { duration } from '../component/fields.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';
import { errorMessage } from '../errors.ts';
import type { DialReport } from '../runtime/dial.ts';
import type { Engine } from '../runtime/engine.ts';
import { plural } from '../plural.ts';
import { prepareEngine } from './engine.ts';
import { type Shell, UsageError } from './shell.ts';

/** How long connections may take to give up after `--dial` has waited for them. Milliseconds. */
const DIAL_GRACE = 2_000;

export interface CheckOptions {
  readonly dial?: boolean;
  /** How long `dial` waits for all connections together; a duration, as in a file. */
  readonly timeout: string;
  /** A file of messages to send through a stream. */
  readonly sample?: string;
  /** The stream for the sample. */
  readonly stream?: string;
}

/** `millrace check FILE`: every mistake of the file; with `--dial`, also whether its inputs and outputs connect;
 * with `--sample`, whether messages get through a stream. */
export async function checkCommand(shell: Shell, file: string, options: CheckOptions): Promise<number> {
  const timeout = duration('s', { min: 1 }).safeParse(options.timeout);
  if (!timeout.success)
    throw new UsageError(`--timeout ${options.timeout}: expected a duration, such as 10s`);
  if (options.stream !== undefined && options.sample === undefined)
    throw new UsageError('--stream needs --sample');
  const config = await loadConfig(file, { registry: await shell.registry(), env: shell.env });
  // Log only the warnings that a run would log too.
  const logger = shell.logger({ level: 'warn', format: config.plan.logging.format });
  const engine = await prepareEngine(config, logger, shell.env);
  try {
    const { problems } = config.mistakes(engine.remarks());
    for (const problem of problems) shell.err(`${formatProblem(problem)}\n`);
    if (problems.length > 0) return 1;
    const count = config.plan.streams.length;
    await shell.out(`${file}: OK, ${plural(count, 'stream')}\n`);
    const code =
      options.dial === true ? await report(shell, await dial(engine, timeout.data), options.timeout) : 0;
    if (options.sample === undefined) return code;
    const { checkSample } = await import('./check-sample.ts');
    return Math.max(
      code,
      await checkSample(shell, config, { file, sample: options.sample, stream: options.stream }),
    );
  } finally {
    await engine.close();
  }
}

/** The report, or undefined when the time was up and the connections did not give up. */
async function dial(engine: Engine, timeout: number): Promise<DialReport[] | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeout + DIAL_GRACE);
  });
  try {
    return await Promise.race([engine.dial(AbortSignal.timeout(timeout)), patience]);
  } finally {
    clearTimeout(timer);
  }
}

async function report(
  shell: Shell,
  reports: readonly DialReport[] | undefined,
  timeout: string,
): Promise<number> {
  if (reports === undefined) {
    shell.err(`not all inputs and outputs answered within ${timeout}\n`);
    return 1;
  }
  for (const { stream, stage, type, error } of reports) {
    const component = `${stream}: ${stage} ${type}`;
    const fine = stage === 'durability' ? 'can be opened' : 'connected';
    if (error === undefined) await shell.out(`${component}: ${fine}\n`);
    else shell.err(`${component}: ${dialError(error, timeout)}\n`);
  }
  return reports.some(({ error }) => error !== undefined) ? 1 : 0;
}

function dialError(error: Error, timeout: string): string {
  if (error.name === 'TimeoutError') return `no answer within ${timeout}`;
  return errorMessage(error);
}
