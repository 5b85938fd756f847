/** An error code: what it means, and what to do. */
export interface DeclaredError {
  /** `AREA_REASON` in capitals; it never changes, because programs and alerts rely on it. Those of Millrace begin with `MILLRACE_`. */
  readonly code: string;
  /** A sentence or two for who looks it up. */
  readonly help: string;
  /**
   * What the sender of a message is told beside the code, in one sentence that is the same for every message: an error's
   * own text may hold what others have sent, and what the file or the query says, so it is for the log and the dead letter
   * alone. Undefined for errors that are about no message.
   */
  readonly told?: string | undefined;
}

/** Declares the error codes of a component, beside the code that throws them: `new MillraceError(errors.ACME_TOO_HOT, …)`. */
export function declareErrors<C extends string>(
  errors: Readonly<Record<C, Omit<DeclaredError, 'code'>>>,
): { readonly [K in C]: DeclaredError & { readonly code: K } } {
  const declared = Object.entries<Omit<DeclaredError, 'code'>>(errors).map(([code, each]) => [
    code,
    { code, ...each },
  ]);
  return Object.fromEntries(declared) as { readonly [K in C]: DeclaredError & { readonly code: K } };
}

/** Codes that any component may throw; every other one is declared beside what throws it. */
export const baseErrors = declareErrors({
  MILLRACE_CONFIG_INVALID: {
    help: 'The configuration file has mistakes. Each is listed with its place; nothing was started. Mend them and run `millrace check FILE`.',
  },
  MILLRACE_NOT_CONNECTED: {
    help: 'An input or output lost its connection, or could not make one. The engine connects again with growing, random pauses.',
  },
  MILLRACE_END_OF_INPUT: {
    help: 'The input has no more data. The stream drains what it holds and ends.',
  },
  MILLRACE_FILE_UNAVAILABLE: {
    help: 'A file cannot be opened, read or written. The message names the file and the reason.',
  },
  MILLRACE_PROCESSOR_FAILED: {
    help: 'A processor could not process a message or a batch. It went to `error_output`.',
    told: 'the message could not be processed',
  },
  MILLRACE_OUTPUT_REFUSED: {
    help: 'The output refused a message for good; sending it again could not help. It went to `error_output`.',
    told: 'the output cannot take the message',
  },
  MILLRACE_STREAM_FAILED: {
    help: 'A stream has failed and will not go on by itself. The other streams are not affected.',
  },
  MILLRACE_UNEXPECTED: {
    help: 'Something failed that Millrace has no code of its own for; the message says what. The engine tries again as with any other error.',
  },
});

/** An error with a stable code, for people to look up and for programs to act on. */
export class MillraceError extends Error {
  override readonly name: string = 'MillraceError';
  readonly code: string;
  /** One sentence that is fit for whoever sent the message, or anybody else: it depends on the code alone. */
  readonly told: string;
  /** True when trying again cannot help: the engine fails the stream at once. */
  readonly fatal: boolean;
  /** The field of the component's configuration that is wrong, where one is: `path`, or `inputs.0.ack.when` of one in another. */
  readonly field: string | undefined;

  /** `code` is the name of one of `baseErrors`, one that `declareErrors` gave, or another error, whose code it takes. */
  constructor(
    code: keyof typeof baseErrors | Pick<DeclaredError, 'code' | 'told'>,
    message: string,
    options: { cause?: unknown; fatal?: boolean; field?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const declared: Pick<DeclaredError, 'code' | 'told'> = typeof code === 'string' ? baseErrors[code] : code;
    this.code = declared.code;
    this.told = declared.told ?? 'the message was rejected';
    this.fatal = options.fatal ?? false;
    this.field = options.field;
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
