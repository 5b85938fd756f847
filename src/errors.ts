import { fileURLToPath } from 'node:url';

/** An error code: its meaning, and what to do. */
export interface DeclaredError {
  /**
   * `AREA_REASON` in capitals; it never changes, because programs and alerts rely on it. Millrace's own codes begin
   * with `MILLRACE_`.
   */
  readonly code: string;
  /** A sentence or two for readers who look it up. */
  readonly help: string;
  /**
   * The sentence that the sender of a message is told beside the code. It is the same for every message: an error's own
   * text may hold data from others, or parts of the file or the query, so it is only for the log and the dead letter.
   * Undefined for errors that are not about a message.
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

/** Codes that any component may throw; every other code is declared beside the code that throws it. */
export const baseErrors = declareErrors({
  MILLRACE_CONFIG_INVALID: {
    help: 'The configuration file has mistakes. Each is listed with its place; nothing was started. Fix them and run `millrace check FILE`.',
  },
  MILLRACE_NOT_CONNECTED: {
    help: 'An input or output lost its connection, or could not make one. The engine reconnects with growing, random pauses.',
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
    help: 'Something failed for which Millrace has no code of its own; the message describes it. The engine tries again as with any other error.',
  },
});

/** An error with a stable code, for people to look up and for programs to act on. */
export class MillraceError extends Error {
  override readonly name: string = 'MillraceError';
  readonly code: string;
  /**
   * One sentence that is safe to show to the sender of the message, or to anyone else: it depends on the code alone.
   */
  readonly told: string;
  /** True if trying again cannot help: the engine fails the stream at once. */
  readonly fatal: boolean;
  /**
   * The wrong field of the component's configuration, if there is one: `path`, or `inputs.0.ack.when` for a field of an
   * inner component.
   */
  readonly field: string | undefined;

  /** `code` is the name of one of `baseErrors`, a code from `declareErrors`, or another error, whose code it takes. */
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

/** Thrown by a component whose connection is lost; the engine reconnects it with backoff. */
export class NotConnectedError extends MillraceError {
  override readonly name = 'NotConnectedError';
  /** The least time to wait before the next attempt, in milliseconds. */
  readonly retryAfter: number;

  constructor(message: string, cause?: unknown, retryAfter = 0) {
    super('MILLRACE_NOT_CONNECTED', message, { cause });
    this.retryAfter = retryAfter;
  }
}

/** Thrown by an input or a buffer that has nothing more to return; the stream drains and ends. */
export class EndOfInputError extends MillraceError {
  override readonly name = 'EndOfInputError';

  constructor() {
    super('MILLRACE_END_OF_INPUT', 'the input has ended');
  }
}

/** One wrong message of a batch, and the reason. */
export interface Rejection {
  /** The message's place in its batch, from 0. */
  readonly index: number;
  readonly error: MillraceError;
  /** The wrong field, if there is one. */
  readonly field?: string;
}

/** The message of an unknown thrown value, on one line. */
export function errorMessage(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return oneLine(text);
}

/** The message of an error that someone else's code threw, with the place in the module. */
export function thrownMessage(error: unknown): string {
  const [, place] = /\(?(file:\/\/[^\s)]+:\d+:\d+)\)?/.exec((error as Error | undefined)?.stack ?? '') ?? [];
  const message = errorMessage(error).replaceAll(/file:\/\/[^\s']+/g, pathOf);
  return place === undefined || !(error instanceof Error) ? message : `${message}, at ${pathOf(place)}`;
}

/** The path of a file's URL, with line and column if it has them. */
function pathOf(url: string): string {
  const [, file, rest] = /^(.*?)((?::\d+){0,2})$/.exec(url)!;
  try {
    return `${fileURLToPath(file!)}${rest}`;
  } catch {
    return url;
  }
}

/**
 * A text without line breaks and escape sequences: a peer's words must neither look like our log lines nor control a
 * terminal.
 */
export function oneLine(text: string): string {
  return visible(text.replaceAll(/\s*[\u0000-\u001f\u007f-\u009f\u2028\u2029]+\s*/g, ' '));
}

/**
 * Characters that a terminal obeys and does not show: the other control characters (C1), those that reverse the order
 * of text, and those of no width that hide text.
 */
const UNSEEN = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;

/** Writes these as `\u202e`, which is the same text in JSON. Tabs, line breaks and colours stay. */
export function visible(text: string): string {
  return text.replaceAll(UNSEEN, escaped);
}

/** Like `visible`, with all control characters except tabs and line breaks: for text from someone else. */
export function printable(text: string): string {
  return visible(text.replaceAll(/[\u0000-\u0008\u000b-\u001f]/g, escaped));
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
