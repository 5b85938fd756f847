import { parseJsonPath, type JsonPath } from '../message/json-path.ts';
import { errorCode } from '../telemetry/events.ts';
import { Acknowledgements } from './acknowledgements.ts';
import type { ClientOptions, SendingOptions } from './client-options.ts';
import { clientMessage, clientSettings, readDuration } from './client-settings.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { Interrupt, Interrupted } from './interrupt.ts';
import { Pace } from './pace.ts';
import { Printer } from './printer.ts';
import { Progress, Rate } from './progress.ts';
import { MessageSource } from './send-source.ts';
import { Sender } from './sender.ts';
import { type Shell, UsageError } from './shell.ts';
import { formatOf } from './tail-format.ts';

export interface SendOptions extends ClientOptions, SendingOptions {
  readonly message?: readonly string[];
  readonly binary?: boolean;
  readonly split: 'lines' | 'none';
  readonly count?: number;
  readonly wait?: string;
}

/** How long the server has to answer a close after an interrupt, in milliseconds. */
const INTERRUPT_TIMEOUT = 3_000;

/** Defaults of the options for acknowledgements. */
const ACK_TIMEOUT = '30s';
const MAX_UNACKNOWLEDGED = 1000;

const LINE_END = Buffer.from('\n');

/** `millrace send URL [FILE]`: sends the lines of a file or of stdin, or messages of the command line. */
export async function sendCommand(
  shell: Shell,
  url: string,
  file: string | undefined,
  options: SendOptions,
): Promise<number> {
  const settings = clientSettings(url, options);
  const { message: messages = [] } = options;
  if (file !== undefined && messages.length > 0) {
    throw new UsageError('expected either a file or --message, not both');
  }
  const wait = options.wait === undefined ? undefined : readDuration('--wait', options.wait);
  const closeTimeout = readDuration('--close-timeout', options.closeTimeout, { min: 1 });
  const acknowledgements = acknowledgementsOf(options);
  const persistence = persistenceOf(options);
  const { stdout, stderr } = shell.stdio;
  const interrupt = new Interrupt();
  const { signal } = interrupt;
  const source = new MessageSource({
    messages,
    file: file === '-' ? undefined : file,
    stdin: () => shell.stdio.stdin,
    split: options.split,
    binary: options.binary === true,
    maxMessageSize: settings.config.max_message_size,
    count: options.count,
  });
  const typed = messages.length === 0 && (file ?? '-') === '-' && shell.stdio.stdin.isTTY === true;
  if (typed) shell.err('reading messages from the terminal, one a line; Ctrl-D ends\n');
  const printer = new Printer(stdout, { hold: (held) => connection.hold(held), gone: () => {} });
  const format = formatOf('auto', false, stdout.isTTY === true);
  const notice = (text: string): void => progress.aside(`${text}\n`);
  const connection = new Connection({
    settings,
    env: shell.env,
    ...persistence,
    closeTimeout,
    received: (payload, binary, from) => {
      if (acknowledgements?.received(payload) === true) sender.wake();
      else if (wait !== undefined && !signal.aborted) printer.print(format(payload, binary, from), LINE_END);
    },
    closed: () => sender.wake(),
    notice,
  });
  const sender = new Sender({
    connection,
    source,
    pace: new Pace(options.rate ?? Infinity),
    acknowledgements,
    resend: options.reconnect === true && acknowledgements === undefined,
    signal,
    notice,
  });
  const rate = new Rate();
  const onTerminal = typed || (wait !== undefined && stdout.isTTY === true);
  const progress = new Progress(stderr, stderr.isTTY === true && !onTerminal, () => {
    const { sent } = sender;
    const of = options.count === undefined ? '' : ` of ${options.count}`;
    const acked = acknowledgements === undefined ? '' : `, ${acknowledgements.count} acknowledged`;
    return `${sent}${of} sent, ${rate.next(sent)}/s${acked}`;
  });
  const started = performance.now();
  let failure: unknown;
  let took: number | undefined;
  try {
    await sender.run();
    took = performance.now() - started;
    if (wait !== undefined) await sender.linger(wait);
  } catch (error) {
    failure = error;
  }
  took ??= performance.now() - started;
  source.close();
  const unsent = await takeLeave(connection, sender, acknowledgements, signal);
  failure ??= unsent;
  await printer.idle(signal);
  progress.stop();
  interrupt.dispose();
  failure ??= printer.failure;
  if (failure !== undefined) shell.err(`${failureLine(failure)}\n`);
  // A failure to connect has been reported.
  if (connection.connected) shell.err(`${summary(sender, acknowledgements, took)}\n`);
  return failure === undefined ? 0 : 1;
}

/** Closes the connection. @returns the error, if messages may be lost by it */
export async function takeLeave(
  connection: Connection,
  sender: Sender,
  acknowledgements: Acknowledgements | undefined,
  signal: AbortSignal,
): Promise<unknown> {
  signal.addEventListener('abort', () => abandon(connection));
  if (signal.aborted) abandon(connection);
  try {
    await sender.close();
  } catch (error) {
    // An acknowledged message cannot be lost any more.
    if (acknowledgements === undefined) return error;
  }
  return undefined;
}

/** After an interrupt the server has less time, and its messages are not waited for. */
function abandon(connection: Connection): void {
  connection.hold(false);
  connection.session?.expectClose(INTERRUPT_TIMEOUT);
}

/** @throws UsageError */
export function persistenceOf({
  reconnect,
  attempts,
}: SendingOptions): Pick<ConnectionOptions, 'persistence' | 'attempts'> {
  if (attempts !== undefined && reconnect !== true) throw new UsageError('--attempts needs --reconnect');
  return { persistence: reconnect === true ? 'always' : 'never', attempts };
}

/** @throws UsageError */
export function acknowledgementsOf(options: SendingOptions): Acknowledgements | undefined {
  if ((options.id === undefined) !== (options.ack === undefined)) {
    throw new UsageError('--id and --ack belong together; give both or neither');
  }
  if (options.id === undefined || options.ack === undefined) {
    for (const [option, value] of [
      ['--ack-timeout', options.ackTimeout],
      ['--max-unacknowledged', options.maxUnacknowledged],
    ] as const) {
      if (value !== undefined) throw new UsageError(`${option} needs --id and --ack`);
    }
    return undefined;
  }
  return new Acknowledgements({
    id: readPath('--id', options.id),
    ack: readPath('--ack', options.ack),
    limit: options.maxUnacknowledged ?? MAX_UNACKNOWLEDGED,
    timeout: readDuration('--ack-timeout', options.ackTimeout ?? ACK_TIMEOUT, { min: 1 }),
  });
}

function readPath(option: string, text: string): JsonPath {
  const path = parseJsonPath(text);
  if (path === undefined) {
    throw new UsageError(`${option} ${text}: not a path; expected one like id, data.id or items[0].id`);
  }
  return path;
}

/** The line that the terminal shows for a failure. */
export function failureLine(failure: unknown): string {
  if (failure instanceof Interrupted) return failure.message;
  return `${errorCode(failure)}: ${clientMessage(failure)}`;
}

function summary(
  sender: Sender,
  acknowledgements: Acknowledgements | undefined,
  milliseconds: number,
): string {
  const { sent, written, bytes } = sender;
  const rate = Math.round((written * 1000) / Math.max(milliseconds, 1));
  const far = written < sent ? ` (${sent - written} more were not written)` : '';
  const acked = acknowledgements === undefined ? '' : `; ${acknowledgements.describe()}`;
  return `sent ${written} message${written === 1 ? '' : 's'}${far}, ${bytes} bytes, in ${(milliseconds / 1000).toFixed(2)} s, ${rate}/s${acked}`;
}
