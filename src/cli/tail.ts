import { clientMessage, clientSettings } from './client-settings.ts';
import type { ClientOptions, Codec } from './client-options.ts';
import { Connection, type Persistence } from './connection.ts';
import { Interrupt } from './interrupt.ts';
import { Printer } from './printer.ts';
import { Progress, Rate } from './progress.ts';
import { type Shell, UsageError } from './shell.ts';
import { formatOf } from './tail-format.ts';
import { errorCode } from '../telemetry/events.ts';

export interface TailOptions extends ClientOptions {
  readonly codec: Codec;
  readonly metadata?: boolean;
  readonly count?: number;
  readonly send?: readonly string[];
  /** Undefined unless the command line has it: then only a lost connection is restored. */
  readonly reconnect?: boolean;
  readonly attempts?: number;
}

/** How long the server has to answer a close, and stdout to take the rest after an interrupt. Milliseconds. */
const END_TIMEOUT = 3_000;

/** Normal closure, and no code (RFC 6455 section 7.4.1). */
const normal: readonly number[] = [1000, 1005];

const LINE_END = Buffer.from('\n');

/** `millrace tail URL`: prints the messages of a connection, until it is told to stop. */
export async function tailCommand(shell: Shell, url: string, options: TailOptions): Promise<number> {
  const settings = clientSettings(url, options, options.send);
  if (options.codec === 'raw' && options.metadata === true) {
    throw new UsageError('--codec raw has no lines for --metadata; use --codec base64');
  }
  const { count = Infinity, attempts } = options;
  if (attempts !== undefined && options.reconnect === false)
    throw new UsageError('--attempts has no effect with --no-reconnect');
  const lineEnd = options.codec === 'raw' ? [] : [LINE_END];
  const { stdout, stderr } = shell.stdio;
  const format = formatOf(options.codec, options.metadata === true, stdout.isTTY === true);
  const interrupt = new Interrupt();
  /** Aborts when there is nothing more to print. */
  const done = new AbortController();
  const signal = AbortSignal.any([interrupt.signal, done.signal]);
  const stopped = aborted(signal);
  let received = 0;
  let failure: unknown;
  const printer = new Printer(stdout, {
    hold: (held) => connection.hold(held),
    gone: () => done.abort(),
  });
  const rate = new Rate();
  // Data printed on the terminal itself shows progress enough.
  const progress = new Progress(stderr, stderr.isTTY === true && stdout.isTTY !== true, () => {
    return `${received} received, ${rate.next(received)}/s`;
  });
  const connection = new Connection({
    settings,
    env: shell.env,
    persistence: persistenceOf(options.reconnect),
    attempts,
    closeTimeout: END_TIMEOUT,
    received: (payload, binary, session) => {
      if (signal.aborted) return;
      printer.print(format(payload, binary, session), ...lineEnd);
      received++;
      if (received >= count) done.abort();
    },
    closed: () => {},
    notice: (text) => progress.aside(`${text}\n`),
  });
  try {
    let link = await connection.open(signal);
    for (;;) {
      const end = await Promise.race([link.ended, stopped]);
      if (end === undefined) {
        link.session.close(1000, 'done');
        // Messages that come meanwhile are read, so that the answer is not stuck behind them, but not printed.
        connection.hold(false);
        await link.ended;
        break;
      }
      if (options.reconnect === false && normal.includes(end.code)) break;
      link = await connection.open(signal, end);
    }
  } catch (error) {
    if (!signal.aborted) failure = error;
  }
  await printer.idle(interrupt.signal.aborted ? AbortSignal.timeout(END_TIMEOUT) : interrupt.signal);
  progress.stop();
  interrupt.dispose();
  failure ??= printer.failure;
  if (failure === undefined) return 0;
  shell.err(`${errorCode(failure)}: ${clientMessage(failure)}\n`);
  return 1;
}

function persistenceOf(reconnect: boolean | undefined): Persistence {
  if (reconnect === undefined) return 'once_connected';
  return reconnect ? 'always' : 'never';
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
