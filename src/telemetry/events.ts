import { MillraceError, errorMessage, type ErrorCode } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

/** The part of a stream that an event is about. */
export type Stage = 'input' | 'codec' | 'buffer' | 'processor' | 'output' | 'error_output';

/** What happened, as a component tells it: each function is one log line and its metric, so the two can't disagree. */
export type ComponentEvents = ReturnType<typeof createComponentEvents>;

/** What happened, as the engine tells it. */
export type StreamEvents = ReturnType<typeof createStreamEvents>;

export function errorCode(error: unknown): ErrorCode {
  return error instanceof MillraceError ? error.code : 'MILLRACE_UNEXPECTED';
}

/** Why an output drops a message on purpose. */
const dropReasons = {
  nobody: 'there is no session to send to',
  no_value: 'they have no value for what `match` compares',
  slow_consumer: 'a session does not take what is sent to it',
} as const;

export type DropReason = keyof typeof dropReasons;

/** At most one line each so many milliseconds, at the usual level: anybody can send requests. */
const REFUSAL_LOG_INTERVAL = 1000;

/** Makes a function that says whether a line about a refusal may be logged now. */
function refusalLog(): () => boolean {
  let next = 0;
  return () => {
    const now = performance.now();
    if (now < next) return false;
    next = now + REFUSAL_LOG_INTERVAL;
    return true;
  };
}

/** `parent` is a logger that names the stream. */
export function createComponentEvents(metrics: Metrics, parent: Logger, stream: string, stage: Stage) {
  const logger = parent.child({ stage });
  const labels = { stream, stage };
  const dropped = new Set<DropReason>();
  const mayLog = refusalLog();
  let toldMissingId = false;
  return {
    listening(url: string): void {
      // From here on there is something to count, even before the first connection.
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
      url?: string;
    }): void {
      metrics.connectionsOpen.labels(labels).dec();
      metrics.connectionsClosed.labels({ ...labels, code: String(details.code) }).inc();
      const ordinary = [1000, 1001, 1005, 1012].includes(details.code);
      const reason = details.reason === '' ? '' : ` ${details.reason}`;
      logger[ordinary ? 'debug' : 'warn'](details, `connection closed with ${details.code}${reason}`);
    },
    connectionRefused(details: {
      status: number;
      reason: string;
      remote_address?: string | undefined;
    }): void {
      metrics.connectionsRefused.labels({ ...labels, status: String(details.status) }).inc();
      logger[mayLog() ? 'info' : 'debug'](
        details,
        `connection refused with ${details.status}: ${details.reason}`,
      );
    },
    /** Messages that go no further, on purpose; told once as a warning, unless it is an everyday thing. */
    messagesDropped(reason: DropReason, count: number): void {
      metrics.messagesDropped.labels({ ...labels, reason }).inc(count);
      const warn = reason !== 'nobody' && !dropped.has(reason);
      dropped.add(reason);
      logger[warn ? 'warn' : 'debug'](
        { reason, count },
        `${count} message(s) dropped: ${dropReasons[reason]}${warn ? '; the metrics count on' : ''}`,
      );
    },
    /** Handshakes use the certificates that are on disk now. */
    certificateReloaded(files: readonly string[]): void {
      logger.info({ files }, 'the certificates have changed; new connections get the new ones');
    },
    /** What is on disk cannot be used. */
    certificateKept(files: readonly string[], reason: string): void {
      logger.warn(
        { files, code: 'MILLRACE_TLS_INVALID' },
        `the certificates have changed and the old ones stay in use: ${reason}`,
      );
    },
    /** Credentials that a server compares with are those of the changed file from now on. */
    credentialsReloaded(path: string): void {
      logger.info({ path }, `took over the changed ${path}`);
    },
    /** A server cannot read or fetch what it needs to check credentials. `consequence` says what that means for clients. */
    credentialsUnavailable(error: unknown, consequence: string): void {
      const code = errorCode(error);
      metrics.errors.labels({ ...labels, code }).inc();
      logger.warn({ code }, `${errorMessage(error)}; ${consequence}`);
    },
    /** Messages that came before, on another connection or on this one. */
    duplicatesDropped(count: number): void {
      metrics.messagesDropped.labels({ ...labels, reason: 'duplicate' }).inc(count);
    },
    /** Replies of `ack` to the senders of messages. */
    repliesSent(count: number): void {
      metrics.acksSent.labels(labels).inc(count);
    },
    /** Messages that get no reply because they have no id; told once. */
    repliesWithoutId(count: number): void {
      metrics.acksImpossible.labels(labels).inc(count);
      logger[toldMissingId ? 'debug' : 'warn'](
        { count },
        `${count} message(s) have nothing at \`ack.id\`, so their senders get no reply${toldMissingId ? '' : '; the metrics count on'}`,
      );
      toldMissingId = true;
    },
    /** A new connection has taken the place of one that is still open. */
    connectionRenewed(details: { reason: 'age' | 'asked'; session_id: string; url: string }): void {
      const why = details.reason === 'age' ? 'it had reached its age' : 'the server asked for it';
      logger.info(details, `connection renewed: ${why}`);
    },
    /** The old connection goes on meanwhile; the next attempt is in `delay` milliseconds, or there is none. */
    renewalFailed(error: unknown, delay: number | undefined): void {
      const code = errorCode(error);
      metrics.errors.labels({ ...labels, code }).inc();
      const details = { code, ...(delay !== undefined && { retry_in_ms: Math.round(delay) }) };
      logger.warn(details, `could not renew the connection, the old one goes on: ${errorMessage(error)}`);
    },
    /** A cursor is not on disk; what came after the last one that is would come again. It is tried again. */
    cursorNotSaved(path: string, error: unknown): void {
      const code = errorCode(error);
      metrics.errors.labels({ ...labels, code }).inc();
      logger.warn({ code, path }, `cannot save the cursor in ${path}: ${errorMessage(error)}`);
    },
    /** Something that the user should know and that changes no message, said once. */
    noticed(details: Record<string, unknown>, message: string): void {
      logger.warn(details, message);
    },
  };
}

/** OpenSSL's own text is for its developers; its codes say as much. */
function tlsReason(error: Error & { code?: string }): string {
  if (error.code === 'ERR_SSL_HTTP_REQUEST') return 'the client spoke plain HTTP; it should use wss://';
  if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'the client did not finish it in time';
  if (error.code === 'ECONNRESET')
    return 'the client left; it may not trust the certificate, or have none that is wanted';
  return error.code ?? errorMessage(error);
}

/** What a listener answered itself, for no stream: a wrong path, a plain request. */
export function createListenerEvents(metrics: Metrics, logger: Logger) {
  const mayLog = refusalLog();
  return {
    requestRefused(details: {
      status: number;
      path: string;
      remote_address: string | undefined;
      served: readonly string[];
    }): void {
      const { status, path, served } = details;
      metrics.connectionsRefused.labels({ stream: '', stage: 'listener', status: String(status) }).inc();
      if (!mayLog()) return;
      const { remote_address } = details;
      logger.info(
        { status, path, remote_address },
        `refused a request with ${status}; served here: ${served.join(', ')}`,
      );
    },
    /** A connection that ended before there was TLS on it. */
    tlsFailed(error: Error & { code?: string }, remote_address: string | undefined): void {
      metrics.connectionsRefused.labels({ stream: '', stage: 'listener', status: 'tls' }).inc();
      if (!mayLog()) return;
      logger.info({ remote_address }, `a TLS handshake failed: ${tlsReason(error)}`);
    },
  };
}

/** `logger` is a child that names the stream. */
export function createStreamEvents(metrics: Metrics, logger: Logger, stream: string) {
  const inputMessages = metrics.inputMessages.labels({ stream });
  const inputBytes = metrics.inputBytes.labels({ stream });
  const inputBatches = metrics.inputBatches.labels({ stream });
  const outputMessages = metrics.outputMessages.labels({ stream });
  const outputBytes = metrics.outputBytes.labels({ stream });
  const outputBatches = metrics.outputBatches.labels({ stream });
  /** Stages and codes of which a rejected message has been told. */
  const rejected = new Set<string>();
  const countError = (stage: Stage, code: string): void => {
    metrics.errors.labels({ stream, stage, code }).inc();
  };
  return {
    streamStarted(input: string, output: string): void {
      logger.info({ input, output }, `stream started, from ${input} to ${output}`);
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
    /** `nowMicros` at the confirmation of everything that came of `batch`. */
    batchConfirmed(batch: Batch, now: number): void {
      for (const [index, run] of batch.runs.entries()) {
        const end = batch.runs[index + 1]?.start ?? batch.length;
        metrics.latency.observe(stream, (now - run.time) / 1e6, end - run.start);
      }
    },
    connected(stage: Stage, type: string): void {
      logger.info({ stage, type }, `${stage} ${type} connected`);
    },
    /** It connects again in `delay` milliseconds. */
    connectionLost(stage: Stage, error: unknown, delay: number): void {
      countError(stage, errorCode(error));
      metrics.reconnects.labels({ stream, stage }).inc();
      logger.warn(
        { stage, code: errorCode(error), retry_in_ms: Math.round(delay) },
        `${stage} lost its connection: ${errorMessage(error)}`,
      );
    },
    /** `delay` in milliseconds until the next attempt. */
    attemptFailed(stage: Stage, action: 'connect' | 'read' | 'write', error: unknown, delay: number): void {
      countError(stage, errorCode(error));
      if (action === 'connect') metrics.reconnects.labels({ stream, stage }).inc();
      logger.warn(
        { stage, code: errorCode(error), retry_in_ms: Math.round(delay) },
        `${stage} failed to ${action}: ${errorMessage(error)}`,
      );
    },
    /** `payload` is at most 1 KiB of it, or undefined when the dead letter is kept by an `error_output`. */
    messageRejected(stage: Stage, error: MillraceError, payload: string | undefined): void {
      countError(stage, error.code);
      metrics.deadLetters.labels({ stream, stage, code: error.code }).inc();
      const kind = `${stage} ${error.code}`;
      const first = !rejected.has(kind);
      rejected.add(kind);
      const details = { stage, code: error.code, ...(payload !== undefined && { payload }) };
      if (payload !== undefined) logger.warn(details, `message rejected: ${error.message}`);
      else if (first)
        logger.warn(details, `message sent to error_output, the first with this code: ${error.message}`);
      else logger.debug(details, `message sent to error_output: ${error.message}`);
    },
    /** Everything of the log of `durability`. */
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
        if (messages > 0) logger.info(details, `${messages} message(s) of the log come first`);
      },
      blocked(reason: string): void {
        metrics.logBlocked.labels({ stream }).set(1);
        countError('input', 'MILLRACE_WAL_FULL');
        logger.warn({ code: 'MILLRACE_WAL_FULL' }, reason);
      },
      unblocked(): void {
        metrics.logBlocked.labels({ stream }).set(0);
        logger.info('the log has room again');
      },
    },
    logMeasured(entries: number, bytes: number): void {
      metrics.logEntries.labels({ stream }).set(entries);
      metrics.logBytes.labels({ stream }).set(bytes);
    },
    /** The pipeline is much slower than the input. */
    spilled(): void {
      logger.info('the output has stood still: what comes in waits in the log');
    },
    leftInLog(entries: number): void {
      logger.info({ entries }, 'what is still in the log is delivered at the next start');
    },
    inFlight(messages: number, bytes: number): void {
      metrics.inFlightMessages.labels({ stream }).set(messages);
      metrics.inFlightBytes.labels({ stream }).set(bytes);
    },
  };
}
