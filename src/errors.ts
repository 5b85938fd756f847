import { plural } from './plural.ts';

/**
 * Every error code that Millrace can show, with what it means. `docs/reference/errors.md` is generated from
 * this table.
 */
export const errorCodes = {
  MILLRACE_CONFIG_INVALID:
    'The configuration file has mistakes. Each is listed with its place; nothing was started. Mend them and run `millrace check FILE`.',
  MILLRACE_CONFIG_UNREADABLE: 'The configuration file cannot be read. Check its path and its permissions.',
  MILLRACE_NOT_CONNECTED:
    'An input or output lost its connection, or could not make one. The engine connects again with growing, random pauses.',
  MILLRACE_END_OF_INPUT: 'The input has no more data. The stream drains what it holds and ends.',
  MILLRACE_RECONNECT_EXHAUSTED:
    'As many attempts to connect failed as the configuration allows. The stream has failed; raise `reconnect.attempts`, or leave it out to try for ever.',
  MILLRACE_RECONNECT_STOPPED:
    'The server closed the connection, or answered the handshake, with a code that `reconnect.stop_on` names. The stream has failed.',
  MILLRACE_LISTEN_FAILED:
    'The address cannot be listened on: it is in use, not of this machine, or not permitted. Free it or choose another. One that is in use is tried again until it is free.',
  MILLRACE_LISTEN_CONFLICT:
    'Two components want the same path of one listener, or the same port with different TLS settings. Give each its own path.',
  MILLRACE_FILE_UNAVAILABLE:
    'A file cannot be opened, read or written. The message names the file and the reason.',
  MILLRACE_CURSOR_FILE_INVALID:
    'The file of `resume` is not one that Millrace wrote, or another input keeps the cursor of the same URL in it. Nothing was changed; name another file, or remove this one to begin without a cursor.',
  MILLRACE_WAL_LOCKED:
    'Another process has the log of `durability` open. Stop it, or give each stream a `path` of its own.',
  MILLRACE_WAL_DAMAGED:
    'The log of `durability` is not as it was written: a part is missing or changed. The message says where. The stream does not start, because messages that were acknowledged may be in that part; see docs/delivery.md for the way out.',
  MILLRACE_WAL_VERSION:
    'The log of `durability` was written by a version of Millrace whose logs this one does not read. Let that version deliver what is in it, or export it with its `millrace wal`.',
  MILLRACE_WAL_FAILED:
    'The log of `durability` could not be opened, written or read, or was removed or replaced while the stream ran; the message says which. Whether what was written last is safe cannot be known, so the stream has failed; nothing of it was acknowledged. Mend what the message names and start again.',
  MILLRACE_WAL_FULL:
    'The log of `durability` has reached `max_bytes`, or its disk is full, or the process has no file descriptor left for it. The input waits; it goes on when the output has taken what is there, or when there is space, or a descriptor.',
  MILLRACE_TLS_INVALID: 'A certificate or key file cannot be read or used.',
  MILLRACE_AUTH_UNAVAILABLE:
    'A server cannot check the credentials of clients: a file of users, tokens or keys cannot be read or has a mistake, or the issuer’s keys cannot be fetched. The message says which and why. What was read before stays in force.',
  MILLRACE_FRAMING_INVALID:
    'Bytes are not framed as `framing` says: they do not inflate, a length is wrong, an array is none, a message has no end or is too long. The frame, or the part of it that is wrong, went to `error_output` as it came. A file that is not framed so fails the stream.',
  MILLRACE_CODEC_INVALID_JSON:
    'A message is not one JSON value (RFC 8259). It went to `error_output`; its neighbours were not touched.',
  MILLRACE_CODEC_INVALID_UTF8:
    'A message is not valid UTF-8, and its codec needs text. It went to `error_output`.',
  MILLRACE_PROCESSOR_FAILED: 'A processor could not process a message or a batch. It went to `error_output`.',
  MILLRACE_PROCESSOR_CRASHED:
    'The process ended three times in a row while a processor had this message and no other. It went to `error_output`, and so does the same message when it comes again, until the version of Millrace or the processors of the stream are others. Mend what ends the process, then `millrace replay` it.',
  MILLRACE_SESSION_CLOSED:
    'A message is for a WebSocket session that is no longer open. It went to `error_output`.',
  MILLRACE_SQL_INVALID: 'The SQL query is not valid. The message quotes what the database says of it.',
  MILLRACE_SQL_FIELD_CONFLICT:
    'A message has a field of a type, or a name, that the query cannot take beside what other messages have. It went to `error_output`.',
  MILLRACE_SQL_TEXT_TOO_DEEP:
    'A message is or holds text whose brackets are nested deeper than 512 levels, and the query reads JSON from text. It went to `error_output`.',
  MILLRACE_SQL_UNRESOLVED:
    'The SQL query fails on a batch, and the messages that are to blame could not be told from the others in the time that the search for them may take. They went to `error_output` together. The message ends with what the query failed with.',
  MILLRACE_SQL_TIMEOUT:
    'The SQL query ran longer than its `timeout`. Messages without which it does not went to `error_output` alone, where there are such; else the batch did.',
  MILLRACE_SQL_TOO_LARGE:
    'The SQL query needs more memory than `memory_limit`, or its result is larger than `max_result_bytes`. Messages that are too much alone went to `error_output`, where there are such; else the batch did.',
  MILLRACE_SEND_FAILED:
    '`millrace send` could not have every message acknowledged. The line after it says how far it came.',
  MILLRACE_REPLAY_INVALID:
    'What `millrace replay` was given has a line that is no dead letter. The message names it. Of a file nothing was sent; of a pipe what came before it.',
  MILLRACE_OUTPUT_REFUSED:
    'The output refused a message for good; sending it again could not help. It went to `error_output`.',
  MILLRACE_UNEXPECTED:
    'Something failed that Millrace has no code of its own for; the message says what. The engine tries again as with any other error.',
  MILLRACE_STREAM_FAILED:
    'A stream has failed and will not go on by itself. The other streams are not affected.',
  MILLRACE_SHUTDOWN_INCOMPLETE:
    'The shutdown deadline passed, or a second signal came, before everything in flight was confirmed. The message says what was left.',
} as const;

/** A stable code of an error; the page on errors explains each. */
export type ErrorCode = keyof typeof errorCodes;

/**
 * What the sender of a message is told beside the code. It is the same for every message: an error's own text may hold
 * what others have sent, and what the file or the query says, so it is for the log and the dead letter alone.
 */
export const toldOf: { readonly [C in ErrorCode]?: string } = {
  MILLRACE_FRAMING_INVALID: 'the frame, or a part of it, is not framed as it should be',
  MILLRACE_CODEC_INVALID_JSON: 'the message is not one JSON value',
  MILLRACE_CODEC_INVALID_UTF8: 'the message is not valid UTF-8',
  MILLRACE_PROCESSOR_FAILED: 'the message could not be processed',
  MILLRACE_PROCESSOR_CRASHED: 'the message could not be processed',
  MILLRACE_SESSION_CLOSED: 'the session that the message is for is not open any more',
  MILLRACE_SQL_FIELD_CONFLICT: 'a field of the message has a name or a value that does not fit here',
  MILLRACE_SQL_TEXT_TOO_DEEP: 'text in the message is nested deeper than 512 levels',
  MILLRACE_SQL_UNRESOLVED: 'the message could not be processed together with others of its batch',
  MILLRACE_SQL_TIMEOUT: 'the message took too long to process',
  MILLRACE_SQL_TOO_LARGE: 'what comes of the message is too large',
  MILLRACE_OUTPUT_REFUSED: 'the output cannot take the message',
};

/** An error with a stable code, for people to look up and for programs to act on. */
export class MillraceError extends Error {
  override readonly name: string = 'MillraceError';
  readonly code: ErrorCode;
  /** True when trying again cannot help: the engine fails the stream at once. */
  readonly fatal: boolean;
  /** The field of the component's configuration that is wrong, where one is: `path`, or `inputs.0.ack.when` of one in another. */
  readonly field: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; fatal?: boolean; field?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fatal = options.fatal ?? false;
    this.field = options.field;
  }

  /** One sentence that is fit for whoever sent the message, or anybody else: it depends on the code alone. */
  get told(): string {
    return toldOf[this.code] ?? 'the message was rejected';
  }
}

/** Thrown by a component whose connection is gone; the engine connects it again with backoff. */
export class NotConnectedError extends MillraceError {
  override readonly name = 'NotConnectedError';
  /** How long to wait at least before the next attempt, in milliseconds. */
  readonly retryAfter: number;

  constructor(message: string, cause?: unknown, retryAfter = 0) {
    super('MILLRACE_NOT_CONNECTED', message, { cause });
    this.retryAfter = retryAfter;
  }
}

/** Thrown by an input or a buffer that has nothing more to give; the stream drains and ends. */
export class EndOfInputError extends MillraceError {
  override readonly name = 'EndOfInputError';

  constructor() {
    super('MILLRACE_END_OF_INPUT', 'the input has ended');
  }
}

/** Thrown by an output for messages that it can never take; the others of the batch are written. */
export class MessagesRefusedError extends MillraceError {
  override readonly name = 'MessagesRefusedError';
  readonly refusals: readonly Rejection[];

  constructor(refusals: readonly Rejection[]) {
    super('MILLRACE_OUTPUT_REFUSED', `${plural(refusals.length, 'message')} refused`);
    this.refusals = refusals;
  }
}

/** One message of a batch that is wrong, and why. */
export interface Rejection {
  /** The message's place in its batch, from 0. */
  readonly index: number;
  readonly error: MillraceError;
  /** The field that is wrong, where one is. */
  readonly field?: string;
}

/** What an unknown thrown value says of itself, on one line. */
export function errorMessage(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return oneLine(text);
}

/** Without line breaks and escape sequences: a peer's words must not look like lines of ours, nor steer a terminal. */
export function oneLine(text: string): string {
  return visible(text.replaceAll(/\s*[\u0000-\u001f\u007f-\u009f\u2028\u2029]+\s*/g, ' '));
}

/**
 * What a terminal obeys and does not show: the other control characters (C1), those that turn the order of text around,
 * and those of no width that hide text.
 */
const UNSEEN = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;

/** With these as `\u202e`, which in JSON is the same text. Tabs, line breaks and colours stay. */
export function visible(text: string): string {
  return text.replaceAll(UNSEEN, escaped);
}

/** As `visible`, with all control characters but tabs and line breaks: for text that somebody else wrote. */
export function printable(text: string): string {
  return visible(text.replaceAll(/[\u0000-\u0008\u000b-\u001f]/g, escaped));
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
