import { isatty } from 'node:tty';
import { loadConfig } from '../config/load.ts';
import { errorMessage } from '../errors.ts';
import type { Engine, Outcome } from '../runtime/engine.ts';
import { errorCode } from '../telemetry/events.ts';
import { reopenLog, type Logger } from '../telemetry/logger.ts';
import { collectProcessMetrics } from '../telemetry/process-metrics.ts';
import { prepareEngine } from './engine.ts';
import { collectGarbage } from './garbage.ts';
import type { Shell } from './shell.ts';

/** How long a shutdown may take before messages in flight are abandoned. Milliseconds. */
const SHUTDOWN_DEADLINE = 30_000;
/** How long the engine may take to end when told to end at once. Milliseconds. */
const ABORT_GRACE = 5_000;
/**
 * A terminal sends Ctrl-C to every foreground process, and npm passes it on as well: a second signal this soon after
 * the first is the same one. Milliseconds.
 */
const SAME_SIGNAL = 500;
const KEEP_ALIVE = 3_600_000;
/** How long after its start a process without messages collects its garbage. Milliseconds. */
const STARTED = 1_000;

/** `millrace run FILE`: runs its streams until they end, or until SIGTERM or SIGINT. */
export async function runCommand(shell: Shell, file: string): Promise<number> {
  const config = await loadConfig(file, { registry: await shell.registry(), env: shell.env });
  const logger = shell.logger(config.plan.logging);
  const engine = await prepareEngine(config, logger, shell.env);
  collectProcessMetrics(engine.metrics.registry);
  const signals = handleSignals(engine, logger, () => reopenFiles(engine, logger));
  const started = setTimeout(() => {
    // Messages would wait meanwhile, and V8 looks after a busy process.
    const isQuiet = engine.health().every((stream) => stream.last_message_age_seconds === null);
    if (isQuiet) void collectGarbage().catch(() => {});
  }, STARTED);
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
    clearTimeout(started);
    signals.ignore();
  }
}

/** Reopens files that somebody has moved: the log, and the files of outputs. */
function reopenFiles(engine: Engine, logger: Logger): void {
  const error = reopenLog(logger);
  engine.reopen();
  logger.info({ signal: 'SIGHUP' }, 'SIGHUP: reopened files; the configuration was not reloaded');
  if (error === undefined) return;
  const message = `cannot reopen the log: ${errorMessage(error)}; continuing in the open file`;
  logger.error({ code: 'MILLRACE_FILE_UNAVAILABLE' }, message);
}

/** Signals that drain, including those of a Windows console. */
const DRAINING = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGBREAK'] as const;
/** Signals that would otherwise end the process, or open Node's debugger, and do nothing here. */
const IGNORED = ['SIGUSR1', 'SIGUSR2'] as const;

/**
 * SIGTERM, SIGINT and SIGQUIT drain; a second one, or the deadline, ends at once. SIGHUP calls `reopen`. Without
 * `reopen`, or when it means that the terminal is gone, it drains too.
 */
export function handleSignals(engine: Engine, logger: Logger, reopen?: () => void) {
  let deadline: NodeJS.Timeout | undefined;
  let grace: NodeJS.Timeout | undefined;
  let first = 0;
  const { promise: lost, resolve: giveUp } = Promise.withResolvers<Outcome>();
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  const abort = (why: string): void => {
    if (grace !== undefined) return;
    logger.error({ code: 'MILLRACE_SHUTDOWN_INCOMPLETE' }, `${why}; abandoning messages in flight`);
    grace = setTimeout(
      () => giveUp({ failed: [], left: ['the streams did not end when told to'] }),
      ABORT_GRACE,
    );
    engine.abort();
  };
  const drain = (signal: NodeJS.Signals, why: string): void => {
    first = performance.now();
    logger.info({ signal }, `${signal}: ${why}draining; a second signal ends at once`);
    const seconds = SHUTDOWN_DEADLINE / 1000;
    deadline = setTimeout(() => abort(`not drained within ${seconds} s`), SHUTDOWN_DEADLINE);
    engine.stop();
  };
  const onDraining = (signal: NodeJS.Signals): void => {
    if (deadline === undefined) return drain(signal, '');
    if (performance.now() - first >= SAME_SIGNAL) abort(`second signal (${signal})`);
  };
  const onHangUp = (signal: NodeJS.Signals): void => {
    // A closed terminal is no longer a terminal, and nobody would see a process that continued without it.
    const hungUp = process.platform === 'win32' || terminals.some((fd) => !isatty(fd));
    if (reopen !== undefined && !hungUp) reopen();
    else if (deadline === undefined) drain(signal, hungUp ? 'the terminal is gone; ' : '');
  };
  const onIgnored = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, `${signal} does nothing here; SIGTERM drains, SIGHUP reopens files`);
  };
  // Streams that wait without a socket or timer of their own would let the process end.
  const alive = setInterval(() => {}, KEEP_ALIVE);
  for (const signal of DRAINING) process.on(signal, onDraining);
  for (const signal of IGNORED) process.on(signal, onIgnored);
  process.on('SIGHUP', onHangUp);
  return {
    /** Resolves when the engine has not ended although told to end at once. */
    lost,
    aborted: () => grace !== undefined,
    ignore: () => {
      clearInterval(alive);
      clearTimeout(deadline);
      clearTimeout(grace);
      if (deadline !== undefined) {
        // The same signal may still come twice, and must not kill the process on its way out.
        const late = (): void => {
          if (performance.now() - first >= SAME_SIGNAL) process.exit(1);
        };
        for (const signal of DRAINING) process.on(signal, late);
        process.on('SIGHUP', () => {});
      }
      for (const signal of DRAINING) process.off(signal, onDraining);
      for (const signal of IGNORED) process.off(signal, onIgnored);
      process.off('SIGHUP', onHangUp);
    },
  };
}
