import { closeSync, constants, openSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DatabaseSync } from 'node:sqlite';
import { MillraceError } from '../../errors.ts';
import { errorCode, failed, logErrors } from './faults.ts';
import { FILE_MODE, fileExists } from './files.ts';

export const LOCK_FILE = 'lock';
const SQLITE_BUSY = 5;
const SQLITE_CANNOT_OPEN = 14;
const SQLITE_NOT_A_DATABASE = 26;
/** A check whether the log is in use holds the lock for a moment, so a busy lock is tried this often. */
const TRIES = 5;
const PAUSE = 40;

/**
 * Locks the folder of a log for one process. Node has no file locks; SQLite's are the kernel's, so they end with the
 * process however it ends, and hold between containers. The file is an empty database.
 */
export class FolderLock {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @throws MillraceError MILLRACE_WAL_LOCKED if another owner has it, in this process or any other */
  static async acquire(path: string): Promise<FolderLock> {
    const file = join(path, LOCK_FILE);
    try {
      // SQLite follows links, lets others read its files, and has its own names for disk errors.
      await fileExists(`${file}-journal`);
      if (await fileExists(file)) await access(file, constants.R_OK | constants.W_OK);
      else make(file);
    } catch (error) {
      throw failed(path, 'locked', error);
    }
    const { DatabaseSync } = await import('node:sqlite');
    for (let tries = 1; ; tries++) {
      let database: DatabaseSync | undefined;
      try {
        database = new DatabaseSync(file, { timeout: 0 });
        database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
        return new FolderLock(database);
      } catch (error) {
        database?.close();
        const code = sqliteCode(error);
        if (code === SQLITE_NOT_A_DATABASE) {
          throw failed(path, 'locked', new Error(`${file} was not made by Millrace; remove it`));
        }
        if (code === SQLITE_CANNOT_OPEN) throw failed(path, 'locked', whyNot(path) ?? error);
        if (code !== SQLITE_BUSY) throw failed(path, 'locked', error);
        if (tries >= TRIES) throw locked(path);
      }
      await delay(PAUSE);
    }
  }

  release(): void {
    this.#database.close();
  }
}

/** True while a process has the log open. */
export async function isLocked(path: string): Promise<boolean> {
  const file = join(path, LOCK_FILE);
  if (!(await fileExists(file))) return false;
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(file, { readOnly: true, timeout: 0 });
  try {
    database.exec('SELECT * FROM sqlite_schema');
    return false;
  } catch (error) {
    return sqliteCode(error) === SQLITE_BUSY;
  } finally {
    database.close();
  }
}

/**
 * Makes the file at once, and only if there is none: when a process closes a file, the kernel drops all locks that the
 * process has on it, whoever took them.
 */
function make(file: string): void {
  try {
    closeSync(openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, FILE_MODE));
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

/** The system's own error, if the file cannot be opened at all. */
function whyNot(path: string): unknown {
  try {
    closeSync(openSync(path, constants.O_RDONLY));
    return undefined;
  } catch (error) {
    return error;
  }
}

function locked(path: string): MillraceError {
  return new MillraceError(
    logErrors.MILLRACE_WAL_LOCKED,
    `the log in ${path} is open in another process or stream; only one stream at a time can use a path`,
    { fatal: true },
  );
}

function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) : undefined;
}
