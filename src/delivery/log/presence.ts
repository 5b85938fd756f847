import { logErrors } from './faults.ts';
import { statSync } from 'node:fs';
import { lstat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { MillraceError } from '../../errors.ts';

/**
 * A change of the folder may not show in its time if another one came so shortly before: the kernel takes the time of its
 * last tick, which is 10 ms ago at most. Nanoseconds.
 */
const SETTLED = 50_000_000n;

/**
 * Whether the files of an open log are still in their place. Who removes or replaces a folder does not disturb a process
 * that has its files open: it would go on, and write what nobody will find.
 */
export class Presence {
  readonly #path: string;
  readonly #folder: { readonly dev: bigint; readonly ino: bigint };
  /** The names of what must be there, each with its inode. */
  readonly #files = new Map<string, bigint>();
  /** The folder's time when everything was seen in its place; while that stands, nothing came or went. */
  #seen: bigint | undefined;

  private constructor(path: string, folder: { readonly dev: bigint; readonly ino: bigint }) {
    this.#path = path;
    this.#folder = folder;
  }

  /** Of an open log's folder, with these files in it. */
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

  /** One look at the folder, mostly. @throws MillraceError MILLRACE_WAL_FAILED when something is not in its place */
  async check(): Promise<void> {
    // What is open is in the system's memory, and is answered sooner than another thread could be asked.
    const found = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    if (found === undefined) throw this.#missing('its folder is gone');
    const { dev, ino, mtimeNs } = found;
    if (dev !== this.#folder.dev || ino !== this.#folder.ino) {
      throw this.#missing('another folder is in its place');
    }
    if (mtimeNs === this.#seen) return;
    await Promise.all([...this.#files].map(async ([name, known]) => await this.#checkFile(name, known)));
    if (BigInt(Date.now()) * 1_000_000n - mtimeNs > SETTLED) this.#seen = mtimeNs;
  }

  async #checkFile(name: string, ino: bigint): Promise<void> {
    const found = await lstat(join(this.#path, name), { bigint: true }).catch(() => undefined);
    if (found === undefined) throw this.#missing(`${name} is gone`);
    if (found.ino !== ino) throw this.#missing(`another file is in the place of ${name}`);
  }

  #missing(what: string): MillraceError {
    return new MillraceError(
      logErrors.MILLRACE_WAL_FAILED,
      `the log in ${this.#path} was removed or replaced while the stream had it open: ${what}. Nothing more is ` +
        'acknowledged, and what was not delivered is only where its files are now. Put them back if they were moved, and start again',
      { fatal: true },
    );
  }
}
