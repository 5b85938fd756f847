import { openConfig } from '../config/load.ts';
import { errorMessage } from '../errors.ts';
import type { DialReport } from '../runtime/engine.ts';
import { createLogger } from '../telemetry/logger.ts';
import { prepareEngine } from './engine.ts';
import type { Shell } from './shell.ts';

/** How long `--dial` waits for all connections, and then for them to give up. Milliseconds. */
const DIAL_TIME = 10_000;
const DIAL_GRACE = 2_000;

/** `millrace check FILE`: every mistake of the file; with `--dial` also whether its inputs and outputs connect. */
export async function checkCommand(shell: Shell, file: string, options: { dial: boolean }): Promise<number> {
  const registry = await shell.registry();
  const config = await openConfig(file, { registry, env: shell.env });
  // What is logged here are warnings that the run would log too.
  const logger = createLogger({ level: 'warn', format: config.plan.logging.format });
  const engine = await prepareEngine(config, registry, logger);
  try {
    const count = config.plan.streams.length;
    await shell.out(`${file}: OK, ${count} stream${count === 1 ? '' : 's'}\n`);
    return options.dial ? await report(shell, await dial(engine)) : 0;
  } finally {
    await engine.close();
  }
}

/** What was seen, or undefined when the time was up and the connections did not give up. */
async function dial(engine: {
  dial(signal: AbortSignal): Promise<DialReport[]>;
}): Promise<DialReport[] | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), DIAL_TIME + DIAL_GRACE);
  });
  try {
    return await Promise.race([engine.dial(AbortSignal.timeout(DIAL_TIME)), patience]);
  } finally {
    clearTimeout(timer);
  }
}

async function report(shell: Shell, reports: readonly DialReport[] | undefined): Promise<number> {
  if (reports === undefined) {
    shell.err(`not all inputs and outputs answered within ${DIAL_TIME / 1000} s\n`);
    return 1;
  }
  for (const { stream, stage, type, error } of reports) {
    const component = `${stream}: ${stage} ${type}`;
    if (error === undefined) await shell.out(`${component}: connected\n`);
    else shell.err(`${component}: ${dialError(error)}\n`);
  }
  return reports.some(({ error }) => error !== undefined) ? 1 : 0;
}

function dialError(error: Error): string {
  if (error.name === 'TimeoutError') return `no answer within ${DIAL_TIME / 1000} s`;
  return errorMessage(error);
}
