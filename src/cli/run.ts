import { openConfig } from '../config/load.ts';
import { errorMessage } from '../errors.ts';
import type { Engine, Outcome } from '../runtime/engine.ts';
import { errorCode } from '../telemetry/events.ts';
import { createLogger, type Logger } from '../telemetry/logger.ts';
import { collectProcessMetrics } from '../telemetry/process-metrics.ts';
import { prepareEngine } from './engine.ts';
import type { Shell } from './shell.ts';

/** How long a shutdown may take before what is in flight is given up. Milliseconds. */
const SHUTDOWN_DEADLINE = 30_000;
/** How long the engine may take to end at once. Milliseconds. */
const ABORT_GRACE = 5_000;
/**
 * A terminal gives Ctrl-C to every process of the foreground, and npm passes it on as well: what comes so soon after the
 * first signal is the same one. Milliseconds.
 */
const SAME_SIGNAL = 500;
const KEEP_ALIVE = 3_600_000;

/** `millrace run FILE`: runs its streams until they end, or until SIGTERM or SIGINT. */
export async function runCommand(shell: Shell, file: string): Promise<number> {
  const registry = await shell.registry();
  const config = await openConfig(file, { registry, env: shell.env });
  const logger = createLogger(config.plan.logging);
  const engine = await prepareEngine(config, registry, logger, shell.env);
  collectProcessMetrics(engine.metrics.registry);
  const signals = handleSignals(engine, logger);
  try {
    const { failed, left } = await Promise.race([engine.run(), signals.lost]);
    for (const each of left) {
      logger.error(
        { code: 'MILLRACE_SHUTDOWN_INCOMPLETE' },
        `ended with messages that were not confirmed: ${each}`,
      );
    }
    return failed.length > 0 || left.length > 0 || signals.aborted() ? 1 : 0;
  } catch (error) {
    logger.error({ code: errorCode(error) }, errorMessage(error));
    return 1;
  } finally {
    signals.ignore();
  }
}

/** The first signal drains; the second one, or the deadline, ends at once. */
export function handleSignals(engine: Engine, logger: Logger) {
  let deadline: NodeJS.Timeout | undefined;
  let grace: NodeJS.Timeout | undefined;
  let first = 0;
  const { promise: lost, resolve: giveUp } = Promise.withResolvers<Outcome>();
  const abort = (why: string): void => {
    if (grace !== undefined) return;
    logger.error({ code: 'MILLRACE_SHUTDOWN_INCOMPLETE' }, `${why}; giving up what is in flight`);
    grace = setTimeout(
      () => giveUp({ failed: [], left: ['the streams did not end when told to'] }),
      ABORT_GRACE,
    );
    engine.abort();
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (deadline !== undefined) {
      if (performance.now() - first < SAME_SIGNAL) return;
      abort(`second signal (${signal})`);
      return;
    }
    first = performance.now();
    logger.info({ signal }, `${signal}: draining; a second signal ends at once`);
    const seconds = SHUTDOWN_DEADLINE / 1000;
    deadline = setTimeout(() => abort(`not drained within ${seconds} s`), SHUTDOWN_DEADLINE);
    engine.stop();
  };
  // Streams that wait without a socket or a timer of their own would let the process end in the middle.
  const alive = setInterval(() => {}, KEEP_ALIVE);
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return {
    /** Resolves when the engine has been told to end at once and has not. */
    lost,
    aborted: () => grace !== undefined,
    ignore: () => {
      clearInterval(alive);
      clearTimeout(deadline);
      clearTimeout(grace);
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
      if (deadline === undefined) return;
      // The same signal may still come twice, and is no reason to die of it on the way out.
      const late = (): void => {
        if (performance.now() - first >= SAME_SIGNAL) process.exit(1);
      };
      process.on('SIGTERM', late);
      process.on('SIGINT', late);
    },
  };
}
