import { constants } from 'node:os';
import { join } from 'node:path';
import { declareErrors, errorMessage, MillraceError } from '../../errors.ts';
import { wireErrors } from '../../message/wire-errors.ts';

/** Codes for the log of `durability`. */
export const logErrors = declareErrors({
  MILLRACE_WAL_LOCKED: {
    help: 'Another process has the log of `durability` open. Stop it, or give each stream its own `path`.',
  },
  MILLRACE_WAL_DAMAGED: {
    help: 'The log of `durability` is damaged: a part is missing or changed. The message says where. The stream does not start, because that part may hold acknowledged messages; docs/delivery.md has the way out.',
  },
  MILLRACE_WAL_FAILED: {
    help: 'The log of `durability` could not be opened, written or read, or was removed or replaced while the stream ran; the message says which. Nobody can know whether the last write is safe, so the stream has failed; nothing of that write was acknowledged. Fix the cause that the message names, then start again.',
  },
  MILLRACE_WAL_FULL: {
    help: 'The log of `durability` has reached `max_bytes`, its disk is full, or the process has no file descriptor left for it. The input waits. It goes on when the output has taken the messages in the log, or when space or a descriptor is free again.',
  },
});

/** Says what is wrong with a segment, and where. Internal: errors leave this folder as a `MillraceError`. */
export class Flaw extends Error {
  override readonly name = 'Flaw';
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** The error for a log that is not as it was written. `flaw` says what was expected and what was found. */
export function damaged(path: string, file: string, flaw: Flaw): MillraceError {
  return new MillraceError(
    logErrors.MILLRACE_WAL_DAMAGED,
    `the log is damaged: ${join(path, file)}, byte ${flaw.offset}: ${flaw.message}. Nothing was changed. ` +
      `Save its readable messages with \`millrace wal ${path} --export --json\`, then move the folder away`,
    { fatal: true },
  );
}

export function otherVersion(path: string, file: string, version: number): MillraceError {
  return new MillraceError(
    wireErrors.MILLRACE_WAL_VERSION,
    `${join(path, file)} has version ${version} of the log's format; this Millrace reads versions 1 to 3. Run the ` +
      `Millrace that wrote it until the log is empty, or save its messages with that one's ` +
      `\`millrace wal ${path} --export\` and move the folder away`,
    { fatal: true },
  );
}

/** The error after which nobody knows what is on the disk. */
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

/** True for an error that says the disk, or the user's quota on it, is full. */
export function isNoSpace(error: unknown): boolean {
  // Node has no name for the quota error: its code is `Unknown system error -122`.
  return errorCode(error) === 'ENOSPC' || errorNumber(error) === -constants.errno.EDQUOT;
}

/** True for an error that says the process, or the system, has reached its limit of open files and sockets. */
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
