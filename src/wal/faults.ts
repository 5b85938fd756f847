import { join } from 'node:path';
import { errorMessage, MillraceError } from '../errors.ts';

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
    'MILLRACE_WAL_DAMAGED',
    `the log is damaged: ${join(path, file)}, byte ${flaw.offset}: ${flaw.message}. Nothing was changed. ` +
      `Save what can be read with \`millrace wal ${path} --export --json\`, then move the folder away`,
    { fatal: true },
  );
}

export function otherVersion(path: string, file: string, version: number): MillraceError {
  return new MillraceError(
    'MILLRACE_WAL_VERSION',
    `${join(path, file)} is of version ${version} of the log's format, and this Millrace reads version 1. Run the ` +
      `Millrace that wrote it until the log is empty, or save its messages with that one's ` +
      `\`millrace wal ${path} --export\` and move the folder away`,
    { fatal: true },
  );
}

/** After this nobody knows what is on the disk. */
export function failed(path: string, doing: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  return new MillraceError(
    'MILLRACE_WAL_FAILED',
    `the log in ${path} could not be ${doing}: ${errorMessage(cause)}`,
    {
      cause,
      fatal: true,
    },
  );
}

/** True for an error that says there is no space, so that waiting helps. */
export function isNoSpace(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
