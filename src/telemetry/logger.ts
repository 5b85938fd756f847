import { pino, type Logger as PinoLogger, destination } from 'pino';
import { PinoPretty } from 'pino-pretty';
import { oneLine } from '../errors.ts';

/** Structured log: `logger.info({ field }, 'message')`, `logger.child({ stream })`. Everything goes to stderr or a file. */
export type Logger = PinoLogger;

export interface LoggingConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly format: 'plain' | 'json';
  readonly file_path?: string | undefined;
}

export function createLogger(config: LoggingConfig): Logger {
  const sink = destination({ dest: config.file_path ?? 2, sync: true, mkdir: true, append: true });
  const options = { level: config.level, base: null };
  if (config.format === 'json') return pino(options, sink);
  const colorize = config.file_path === undefined && process.stderr.isTTY;
  return pino(
    options,
    PinoPretty({
      destination: sink,
      colorize,
      singleLine: true,
      translateTime: 'SYS:HH:MM:ss.l',
      messageFormat: (log, key) =>
        `${typeof log['stream'] === 'string' ? `[${log['stream']}] ` : ''}${oneLine(String(log[key]))}`,
      // What the sentence says already.
      ignore: 'stream,stage,type,input,output,url,signal,reason',
    }),
  );
}
