import { pino, type Logger as PinoLogger, destination } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { oneLine, visible } from '../errors.ts';
import { withoutSecrets } from './secrets.ts';

/** Structured log: `logger.info({ field }, 'message')`, `logger.child({ stream })`. Everything goes to stderr or a file. */
export type Logger = PinoLogger;

/** The `logging` section of a file. */
export interface LoggingConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly format: 'plain' | 'json';
  readonly path?: string | undefined;
}

/** The bytes that may wait while the log cannot be written (its disk is full, its terminal is gone); more is lost. */
const MAX_WAITING = 1024 * 1024;

const destinations = new WeakMap<Logger, ReturnType<typeof destination>>();

/** The destination of a logger's lines. */
export interface LogSink {
  write(line: string): unknown;
  readonly isTTY?: boolean;
}

/** A logger to `path`, or to `stderr` if there is none; by default, the process's `stderr`. */
export function createLogger(config: LoggingConfig, stderr?: LogSink): Logger {
  const colorize = config.path === undefined && (stderr ?? process.stderr).isTTY === true;
  if (config.path === undefined && stderr !== undefined) return loggerTo(config, stderr, colorize);
  const sink = destination({
    dest: config.path ?? 2,
    sync: true,
    mkdir: true,
    append: true,
    maxLength: MAX_WAITING,
  });
  // A log that cannot be written is no reason to exit, and there is nowhere to report it; the next line tries again.
  sink.on('error', () => {});
  const logger = loggerTo(config, sink, colorize);
  if (config.path !== undefined) destinations.set(logger, sink);
  return logger;
}

/**
 * Opens the file of a logger again, because someone may have moved it. A logger to stderr has none.
 * @returns the reason if it cannot be opened; then the lines continue into the file that is open
 */
export function reopenLog(logger: Logger): unknown {
  try {
    destinations.get(logger)?.reopen();
    return undefined;
  } catch (error) {
    return error;
  }
}

function loggerTo(config: LoggingConfig, sink: LogSink, colorize: boolean): Logger {
  const options = { level: config.level, base: null };
  // Details may come from a peer.
  const print = (line: string): void => void sink.write(visible(line));
  if (config.format === 'json')
    return pino(options, { write: (line) => print(`${JSON.stringify(shownLine(line))}\n`) });
  const pretty = prettyFactory({
    colorize,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    messageFormat: (log, key) =>
      `${typeof log['stream'] === 'string' ? `[${log['stream']}] ` : ''}${oneLine(String(log[key]))}`,
    // Already in the sentence.
    ignore: 'stream,stage,type,input,output,url,signal,reason',
  });
  return pino(options, { write: (line) => print(pretty(shownLine(line))) });
}

/** A line that is safe to show; the stream's id always is. */
function shownLine(line: string): Record<string, unknown> {
  const { stream, ...details } = JSON.parse(line) as Record<string, unknown>;
  const shown = withoutSecrets(details);
  return stream === undefined ? shown : { stream, ...shown };
}
