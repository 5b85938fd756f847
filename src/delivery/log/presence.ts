import { logErrors } from './faults.ts';
import { statSync } from 'node:fs';
import { lstat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { MillraceError } from '../../errors.ts';

/**
 * A change of the folder may not show in its time if another one came this shortly before: the kernel uses the time of
 * its last tick, at most 10 ms ago. In nanoseconds.
 */
const SETTLED = 50_000_000n;

/**
 * Checks that the files of an open log are still in place. If somebody removes or replaces the folder, a process that
 * has its files open notices nothing: it would go on writing where nobody will look.
 */
export class Presence {
  readonly #path: string;
  readonly #folder: { readonly dev: bigint; readonly ino: bigint };
  /** The names of the required files, each with its inode. */
  readonly #files = new Map<string, bigint>();
  /** The folder's time when all files were last seen in place; while it is unchanged, nothing came or went. */
  #seen: bigint | undefined;

  private constructor(path: string, folder: { readonly dev: bigint; readonly ino: bigint }) {
    this.#path = path;
    this.#folder = folder;
  }

  /** For an open log's folder with these files in it. */
  static async of(path: string, folder: FileHandle, names: readonly string[]): Promise<Presence> {
    const presence = new Presence(path, await folder.stat({ bigint: true }));
    for (const name of names) {
      const { ino } = await lstat(join(path, name), { bigint: true });
      presence.#files.set(name, ino);
    }
    return presence;
  }

  added(name: string, ino: bigint): void {
    this.#files.set(name, ino);
  }

  removed(name: string): void {
    this.#files.delete(name);
  }

  /** Mostly costs one stat of the folder. @throws MillraceError MILLRACE_WAL_FAILED if a file is not in place */
  async check(): Promise<void> {
    // The system has open files in memory, and answers sooner than another thread could be asked.
    const found = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    if (found === undefined) throw this.#missing('its folder is gone');
    const { dev, ino, mtimeNs } = found;
    if (dev !== this.#folder.dev || ino !== this.#folder.ino) {
      throw this.#missing('another folder has taken its place');
    }
    if (mtimeNs === this.#seen) return;
    await Promise.all([...this.#files].map(async ([name, known]) => await this.#checkFile(name, known)));
    if (BigInt(Date.now()) * 1_000_000n - mtimeNs > SETTLED) this.#seen = mtimeNs;
  }

  async #checkFile(name: string, ino: bigint): Promise<void> {
    const found = await lstat(join(this.#path, name), { bigint: true }).catch(() => undefined);
    if (found === undefined) throw this.#missing(`${name} is gone`);
    if (found.ino !== ino) throw this.#missing(`another file has taken the place of ${name}`);
  }

  #missing(what: string): MillraceError {
    return new MillraceError(
      logErrors.MILLRACE_WAL_FAILED,
      `the log in ${this.#path} was removed or replaced while the stream had it open: ${what}. Nothing more is ` +
        'acknowledged, and undelivered messages exist only in the files that were moved. If you still have them, put them back and start again',
      { fatal: true },
    );
  }
}
