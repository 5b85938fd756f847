import { MillraceError, errorMessage } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { extText, type Ext } from '../message/metadata.ts';
import { plural } from '../plural.ts';
import type { Logger } from './logger.ts';
import { streamStates, type Metrics, type StreamState } from './metrics.ts';
import type { RepeatedLines } from './repeated-lines.ts';

/** The part of a stream that an event is about. */
export type Stage = 'input' | 'codec' | 'buffer' | 'processor' | 'output' | 'error_output';

/** A component that events are about. */
interface Part {
  readonly stage: Stage;
  /** Its type, or its name among several: `fan_out.archive`. */
  readonly type: string;
}

/** A stage has one component, unless that has others in it. */
function partName(stage: Stage, type: string): string {
  return type.includes('.') ? `${stage} ${type}` : stage;
}

/** Events of a component: each function is one log line and its metric, so the two cannot disagree. */
export type ComponentEvents = ReturnType<typeof createComponentEvents>;

/** Events of the engine. */
export type StreamEvents = ReturnType<typeof createStreamEvents>;

export function errorCode(error: unknown): string {
  return error instanceof MillraceError ? error.code : 'MILLRACE_UNEXPECTED';
}

/** Why an output drops a message on purpose. */
const dropReasons = {
  nobody: 'there is no session to send them to',
  no_value: 'no value for `match` to compare',
  slow_consumer: 'a session does not keep up',
  overflow: 'the stream does not keep up, and the sender cannot wait',
  queue_full: 'the `queue` of an output is full',
  no_match: 'no case of `switch` is for them',
} as const;

export type DropReason = keyof typeof dropReasons;

/** The cause of an event: the subject that the peer authenticated as, and its address. */
interface Sender {
  readonly subject?: string | undefined;
  readonly remote_address?: string | undefined;
}

interface Details extends Sender {
  readonly [field: string]: unknown;
}

function senderOf({ subject, remote_address: address }: Sender): string | undefined {
  if (subject === undefined) return address;
  return address === undefined ? subject : `${subject} at ${address}`;
}

/** The ordinary close codes (RFC 6455 section 7.4.1, and 1012 of IANA's registry). */
const ORDINARY = [1000, 1001, 1005, 1012];

/** Peers choose the codes from 3000 on freely; as label values there would be two thousand of them. */
function closeCodeLabel(code: number): string {
  if (code < 3000) return String(code);
  return code < 4000 ? '3000-3999' : '4000-4999';
}

/** `line` logs events that a peer can cause at will; `event` names the kind, in words of ours alone. */
function createLines(lines: RepeatedLines, logger: Logger, scope: string) {
  return (level: 'info' | 'warn' | 'error', event: string, details: Details, message: string): void => {
    const { code, status } = details;
    const about = { ...(code !== undefined && { code }), ...(status !== undefined && { status }) };
    const kind = `${scope} ${event}`;
    lines.log(logger, { kind, level, sender: senderOf(details), about, details: () => details, message });
  };
}

/** `parent` is a logger that names the stream. */
export function createComponentEvents(
  metrics: Metrics,
  parent: Logger,
  lines: RepeatedLines,
  stream: string,
  stage: Stage,
) {
  const logger = parent.child({ stage });
  const labels = { stream, stage };
  const line = createLines(lines, logger, `${stream} ${stage}`);
  const dropped = new Set<DropReason>();
  let toldMissingId = false;
  return {
    listening(url: string): void {
      // Shows the counters from here on, even before the first connection.
      metrics.connectionsOpen.labels(labels).inc(0);
      metrics.connectionsOpened.labels(labels).inc(0);
      logger.info({ url }, `listening on ${url}`);
    },
    connectionOpened(details: { url?: string; remote_address?: string; session_id?: string }): void {
      metrics.connectionsOpen.labels(labels).inc();
      metrics.connectionsOpened.labels(labels).inc();
      logger.debug(details, 'connection opened');
    },
    /** `code` is the close code (RFC 6455 section 7.4; 1006 when no close frame came). */
    connectionClosed(details: {
      code: number;
      reason: string;
      session_id?: string;
      remote_address?: string;
      subject?: string;
      url?: string;
    }): void {
      metrics.connectionsOpen.labels(labels).dec();
      const { code } = details;
      const label = closeCodeLabel(code);
      metrics.connectionsClosed.labels({ ...labels, code: label }).inc();
      const reason = details.reason === '' ? '' : ` ${details.reason}`;
      const message = `connection closed with ${code}${reason}`;
      if (ORDINARY.includes(code)) return logger.debug(details, message);
      // The meaning of a peer's own codes is between the peer and its user.
      line(code < 3000 ? 'warn' : 'info', `closed ${label}`, details, message);
    },
    connectionRefused(details: {
      status: number;
      reason: string;
      remote_address?: string | undefined;
    }): void {
      const { status, reason } = details;
      metrics.connectionsRefused.labels({ ...labels, status: String(status) }).inc();
      line('info', `refused ${status}`, details, `connection refused with ${status}: ${reason}`);
    },
    /** Messages dropped on purpose; reported once as a warning, unless it is an everyday event. */
    messagesDropped(reason: DropReason, count: number): void {
      metrics.messagesDropped.labels({ ...labels, reason }).inc(count);
      const warn = reason !== 'nobody' && !dropped.has(reason);
      dropped.add(reason);
      logger[warn ? 'warn' : 'debug'](
        { reason, count },
        `${plural(count, 'message')} dropped: ${dropReasons[reason]}${warn ? '; the metrics count the rest' : ''}`,
      );
    },
    /** Handshakes now use the certificates that are on disk. */
    certificateReloaded(files: readonly string[]): void {
      logger.info({ files }, 'the certificates have changed; new connections use the new ones');
    },
    /** The files on disk cannot be used. */
    certificateKept(files: readonly string[], reason: string): void {
      logger.warn(
        { files, code: 'MILLRACE_TLS_INVALID' },
        `the certificates have changed and the old ones stay in use: ${reason}`,
      );
    },
    /** The server now compares credentials with those of the changed file. */
    credentialsReloaded(path: string): void {
      logger.info({ path }, `loaded the changed ${path}`);
    },
    /**
     * A server cannot read or fetch the keys that it needs to check credentials. `consequence` says what that means for
     * clients.
     */
    credentialsUnavailable(error: unknown, consequence: string): void {
      const code = errorCode(error);
      metrics.errors.labels({ ...labels, code }).inc();
      line('warn', `credentials ${code}`, { code }, `${errorMessage(error)}; ${consequence}`);
    },
    /** Repeated messages, on this connection or another one. */
    duplicatesDropped(count: number): void {
      metrics.messagesDropped.labels({ ...labels, reason: 'duplicate' }).inc(count);
    },
    /** Replies of `ack` to the senders of messages. */
    repliesSent(count: number): void {
      metrics.acksSent.labels(labels).inc(count);
    },
    /** Messages that get no reply because they have no id; reported once. */
    repliesWithoutId(count: number): void {
      metrics.acksImpossible.labels(labels).inc(count);
      logger[toldMissingId ? 'debug' : 'warn'](
        { count },
        `no reply to ${plural(count, 'message')} without a value at \`ack.id\`${toldMissingId ? '' : '; the metrics count the rest'}`,
      );
      toldMissingId = true;
    },
    /** A new connection has taken the place of one that is still open. */
    connectionRenewed(details: { reason: 'age' | 'asked'; session_id: string; url: string }): void {
      const why = details.reason === 'age' ? 'it had reached its maximum age' : 'the server asked for it';
      line('info', 'renewed', details, `connection renewed: ${why}`);
    },
    /**
     * The old connection stays in use meanwhile. The next attempt follows in `delay` milliseconds; if undefined, none
     * does.
     */
    renewalFailed(error: unknown, delay: number | undefined): void {
      const code = errorCode(error);
      metrics.errors.labels({ ...labels, code }).inc();
      const details = { code, ...(delay !== undefined && { retry_in_ms: Math.round(delay) }) };
      const message = `could not renew the connection; the old one stays in use: ${errorMessage(error)}`;
      line('warn', `renewal ${code}`, details, message);
    },
    /** A cursor is not on disk: messages after the last saved one would come again. Saving is retried. */
    cursorNotSaved(path: string, error: unknown): void {
      const code = errorCode(error);
      metrics.errors.labels({ ...labels, code }).inc();
      logger.warn({ code, path }, `cannot save the cursor in ${path}: ${errorMessage(error)}`);
    },
    /** A notice for the user that changes no message, given once. */
    noticed(details: Details, message: string): void {
      line('warn', 'noticed', details, message);
    },
  };
}

/** OpenSSL's own text is for its developers; its codes say enough. */
function tlsReason(error: Error & { code?: string }): string {
  if (error.code === 'ERR_SSL_HTTP_REQUEST') return 'the client spoke plain HTTP; it should use wss://';
  if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'the client did not finish it in time';
  if (error.code === 'ECONNRESET')
    return 'the client left; it may not trust the certificate, or have no suitable one';
  return error.code ?? errorMessage(error);
}

/** Requests that a listener answered itself, for no stream: a wrong path, a plain request. */
export function createListenerEvents(metrics: Metrics, logger: Logger, lines: RepeatedLines) {
  const line = createLines(lines, logger, 'listener');
  return {
    requestRefused(details: {
      status: number;
      reason: string;
      path: string;
      remote_address: string | undefined;
      served: readonly string[];
    }): void {
      const { status, reason, path, remote_address, served } = details;
      metrics.connectionsRefused.labels({ stream: '', stage: 'listener', status: String(status) }).inc();
      const message = `refused a request with ${status}: ${reason}; served here: ${served.join(', ')}`;
      line('info', `refused ${status}`, { status, reason, path, remote_address }, message);
    },
    /** Connections are refused, or closed by the system, because of the limit of open files. */
    outOfFiles({ limit, allowed }: { limit: number; allowed: number }): void {
      const message = `the process may open ${limit} files (ulimit -n), which leaves ${allowed} for connections; more get 503. Raise the hard limit, or lower \`limits.connections\``;
      line('warn', 'out of files', { limit, allowed }, message);
    },
    /** A connection that ended before TLS was established. */
    tlsFailed(error: Error & { code?: string }, remote_address: string | undefined): void {
      metrics.connectionsRefused.labels({ stream: '', stage: 'listener', status: 'tls' }).inc();
      line('info', 'tls', { remote_address }, `a TLS handshake failed: ${tlsReason(error)}`);
    },
    /** An error that no request caused: a handler threw, or connections cannot be accepted. */
    listenerFailed(error: unknown): void {
      const message = `a listener failed: ${errorMessage(error)}`;
      line('error', 'failed', { code: errorCode(error) }, message);
    },
  };
}

/** `logger` is a child that names the stream. */
export function createStreamEvents(metrics: Metrics, logger: Logger, lines: RepeatedLines, stream: string) {
  const line = createLines(lines, logger, stream);
  const inputMessages = metrics.inputMessages.labels({ stream });
  const inputBytes = metrics.inputBytes.labels({ stream });
  const inputBatches = metrics.inputBatches.labels({ stream });
  const outputMessages = metrics.outputMessages.labels({ stream });
  const outputBytes = metrics.outputBytes.labels({ stream });
  const outputBatches = metrics.outputBatches.labels({ stream });
  /** Stages and codes for which a rejected message has been reported. */
  const rejected = new Set<string>();
  const countError = (stage: Stage, code: string): void => {
    metrics.errors.labels({ stream, stage, code }).inc();
  };
  return {
    streamStarted(input: string, output: string): void {
      logger.info({ input, output }, `stream started, from ${input} to ${output}`);
    },
    stateChanged(state: StreamState): void {
      for (const each of streamStates) {
        metrics.streamState.labels({ stream, state: each }).set(each === state ? 1 : 0);
      }
    },
    readyMeasured(ready: boolean): void {
      metrics.streamReady.labels({ stream }).set(ready ? 1 : 0);
    },
    streamEnded(): void {
      logger.info('stream ended');
    },
    streamFailed(error: unknown): void {
      countError('input', 'MILLRACE_STREAM_FAILED');
      logger.error({ code: errorCode(error) }, `stream failed: ${errorMessage(error)}`);
    },
    closeFailed(error: unknown): void {
      logger.warn({ code: errorCode(error) }, `a part of the stream did not close: ${errorMessage(error)}`);
    },
    batchRead(batch: Batch): void {
      inputMessages.inc(batch.length);
      inputBytes.inc(batch.bytes);
      inputBatches.inc();
    },
    batchWritten(batch: Batch): void {
      outputMessages.inc(batch.length);
      outputBytes.inc(batch.bytes);
      outputBatches.inc();
    },
    /** The values of `nowMicros` when everything made from `batch` was confirmed. */
    batchConfirmed(batch: Batch, now: number): void {
      for (const [index, run] of batch.runs.entries()) {
        const end = batch.runs[index + 1]?.start ?? batch.length;
        metrics.latency.observe(stream, (now - run.time) / 1e6, end - run.start);
      }
    },
    connected(stage: Stage, type: string): void {
      line('info', `${stage} connected`, { stage, type }, `${stage} ${type} connected`);
    },
    /** The part connects again in `delay` milliseconds. */
    connectionLost({ stage, type }: Part, error: unknown, delay: number): void {
      countError(stage, errorCode(error));
      metrics.reconnects.labels({ stream, stage }).inc();
      const code = errorCode(error);
      const details = { stage, code, retry_in_ms: Math.round(delay) };
      const name = partName(stage, type);
      line('warn', `${name} lost ${code}`, details, `${name} lost its connection: ${errorMessage(error)}`);
    },
    /** `delay`: milliseconds until the next attempt. */
    attemptFailed(
      { stage, type }: Part,
      action: 'connect' | 'read' | 'write' | 'process',
      error: unknown,
      delay: number,
    ): void {
      countError(stage, errorCode(error));
      if (action === 'connect') metrics.reconnects.labels({ stream, stage }).inc();
      const code = errorCode(error);
      const details = { stage, code, retry_in_ms: Math.round(delay) };
      const name = partName(stage, type);
      const message = `${name} failed to ${action}: ${errorMessage(error)}`;
      line('warn', `${name} ${action} ${code}`, details, message);
    },
    /** `payload` returns at most 1 KiB of the message; undefined if an `error_output` keeps the dead letter. */
    messageRejected(
      stage: Stage,
      { code, message: reason }: MillraceError,
      from: Ext,
      payload: (() => string) | undefined,
    ): void {
      countError(stage, code);
      metrics.deadLetters.labels({ stream, stage, code }).inc();
      const kind = `${stage} ${code}`;
      const [subject, remote_address] = [extText(from, 'subject'), extText(from, 'remote_address')];
      const known = { ...(subject !== undefined && { subject }), ...(remote_address && { remote_address }) };
      const about = { stage, code };
      if (payload !== undefined) {
        return lines.log(logger, {
          kind: `${stream} rejected ${kind}`,
          level: 'warn',
          sender: senderOf(known),
          about,
          details: () => ({ ...about, ...known, payload: payload() }),
          message: `message rejected: ${reason}`,
        });
      }
      const first = !rejected.has(kind);
      rejected.add(kind);
      const details = { ...about, ...known };
      if (first) logger.warn(details, `message sent to error_output, the first with this code: ${reason}`);
      else logger.debug(details, `message sent to error_output: ${reason}`);
    },
    /** Events of the log of `durability`. */
    log: {
      recovered(details: { entries: number; messages: number; bytes: number; cutBytes: number }): void {
        metrics.logBlocked.labels({ stream }).set(0);
        const { messages, cutBytes } = details;
        if (cutBytes > 0) {
          logger.warn(
            details,
            `the log ended in ${cutBytes} bytes that were never committed; they are cut off`,
          );
        }
        if (messages > 0)
          logger.info(details, `first delivering ${plural(messages, 'message')} from the log`);
      },
      blocked(reason: string): void {
        metrics.logBlocked.labels({ stream }).set(1);
        countError('input', 'MILLRACE_WAL_FULL');
        line('warn', 'log full', { code: 'MILLRACE_WAL_FULL' }, reason);
      },
      unblocked(): void {
        metrics.logBlocked.labels({ stream }).set(0);
        line('info', 'log has room', {}, 'the log has room again');
      },
    },
    logMeasured(entries: number, bytes: number): void {
      metrics.logEntries.labels({ stream }).set(entries);
      metrics.logBytes.labels({ stream }).set(bytes);
    },
    /** The last process did not shut down cleanly. */
    triedAgain(messages: number): void {
      logger.warn(
        { messages },
        `the last process did not shut down cleanly; first trying ${plural(messages, 'message')} that it may have been processing`,
      );
    },
    /** The pipeline is much slower than the input. */
    spilled(): void {
      line('info', 'spilled', {}, 'the output is stalled: incoming messages wait in the log');
    },
    leftInLog(entries: number): void {
      logger.info({ entries }, 'the batches still in the log are delivered at the next start');
    },
    stateMeasured(state: { messages: number; memory: number; disk: number }): void {
      metrics.stateMessages.labels({ stream }).set(state.messages);
      metrics.stateBytes.labels({ stream, where: 'memory' }).set(state.memory);
      metrics.stateBytes.labels({ stream, where: 'disk' }).set(state.disk);
    },
    inFlight(messages: number, bytes: number): void {
      metrics.inFlightMessages.labels({ stream }).set(messages);
      metrics.inFlightBytes.labels({ stream }).set(bytes);
    },
  };
}
