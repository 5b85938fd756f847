import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DatabaseSync } from 'node:sqlite';
import { MillraceError } from '../errors.ts';
import { failed } from './faults.ts';

const FILE = 'lock';
const SQLITE_BUSY = 5;
const SQLITE_NOT_A_DATABASE = 26;
/** Who only looks whether a log is in use holds the lock for a moment. */
const TRIES = 5;
const PAUSE = 40;

/**
 * Holds the folder of a log for one process. Node has no file locks of its own; SQLite's are the kernel's, so they end
 * with the process however it ends, and hold between containers. The file is an empty database.
 */
export class FolderLock {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @throws MillraceError MILLRACE_WAL_LOCKED when another has it, in this process or in any other */
  static async acquire(path: string): Promise<FolderLock> {
    const { DatabaseSync } = await import('node:sqlite');
    for (let tries = 1; ; tries++) {
      let database: DatabaseSync | undefined;
      try {
        database = new DatabaseSync(join(path, FILE), { timeout: 0 });
        database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
        return new FolderLock(database);
      } catch (error) {
        database?.close();
        const code = sqliteCode(error);
        if (code === SQLITE_NOT_A_DATABASE) {
          throw failed(
            path,
            'locked',
            new Error(`${join(path, FILE)} is not a file of Millrace's; remove it`),
          );
        }
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
  const file = join(path, FILE);
  if (!existsSync(file)) return false;
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

function locked(path: string): MillraceError {
  return new MillraceError(
    'MILLRACE_WAL_LOCKED',
    `the log in ${path} is open in another process or stream; a path can be one stream's at a time`,
    { fatal: true },
  );
}

function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) : undefined;
}
