import { constants } from 'node:os';
import { join } from 'node:path';
import { declareErrors, errorMessage, MillraceError } from '../../errors.ts';
import { wireErrors } from '../../message/wire-errors.ts';

/** Codes of the log of `durability`. */
export const logErrors = declareErrors({
  MILLRACE_WAL_LOCKED: {
    help: 'Another process has the log of `durability` open. Stop it, or give each stream a `path` of its own.',
  },
  MILLRACE_WAL_DAMAGED: {
    help: 'The log of `durability` is not as it was written: a part is missing or changed. The message says where. The stream does not start, because messages that were acknowledged may be in that part; see docs/delivery.md for the way out.',
  },
  MILLRACE_WAL_FAILED: {
    help: 'The log of `durability` could not be opened, written or read, or was removed or replaced while the stream ran; the message says which. Whether what was written last is safe cannot be known, so the stream has failed; nothing of it was acknowledged. Mend what the message names and start again.',
  },
  MILLRACE_WAL_FULL: {
    help: 'The log of `durability` has reached `max_bytes`, or its disk is full, or the process has no file descriptor left for it. The input waits; it goes on when the output has taken what is there, or when there is space, or a descriptor.',
  },
});

/** What is wrong with a segment, and where. Internal: what leaves this folder is a `MillraceError`. */
export class Flaw extends Error {
  override readonly name = 'Flaw';
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** The log is not as it was written. `what` says what was expected and what was found. */
export function damaged(path: string, file: string, flaw: Flaw): MillraceError {
  return new MillraceError(
    logErrors.MILLRACE_WAL_DAMAGED,
    `the log is damaged: ${join(path, file)}, byte ${flaw.offset}: ${flaw.message}. Nothing was changed. ` +
      `Save what can be read with \`millrace wal ${path} --export --json\`, then move the folder away`,
    { fatal: true },
  );
}

export function otherVersion(path: string, file: string, version: number): MillraceError {
  return new MillraceError(
    wireErrors.MILLRACE_WAL_VERSION,
    `${join(path, file)} is of version ${version} of the log's format, and this Millrace reads versions 1 to 3. Run the ` +
      `Millrace that wrote it until the log is empty, or save its messages with that one's ` +
      `\`millrace wal ${path} --export\` and move the folder away`,
    { fatal: true },
  );
}

/** After this nobody knows what is on the disk. */
export function failed(path: string, doing: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  return new MillraceError(
    logErrors.MILLRACE_WAL_FAILED,
    `the log in ${path} could not be ${doing}: ${errorMessage(cause)}`,
    {
      cause,
      fatal: true,
    },
  );
}

/** True for an error that says the disk, or the share of it that this user has, is full. */
export function isNoSpace(error: unknown): boolean {
  // That of a quota has no name in Node: its code is `Unknown system error -122`.
  return errorCode(error) === 'ENOSPC' || errorNumber(error) === -constants.errno.EDQUOT;
}

/** True for an error that says the process, or the system, has as many open files and sockets as it may. */
export function isNoDescriptor(error: unknown): boolean {
  return ['EMFILE', 'ENFILE'].includes(errorCode(error) ?? '');
}

/** Why a log waits after such an error. */
export function waitsForDescriptor(path: string, error: unknown): string {
  return `the log in ${path} waits for a free file descriptor: ${errorMessage(error)}`;
}

/** True for an error after which nothing is lost and waiting helps. */
export function isShortage(error: unknown): boolean {
  return isNoSpace(error) || isNoDescriptor(error);
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

function errorNumber(error: unknown): number | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).errno : undefined;
}
