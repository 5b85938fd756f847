import { access, constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { readWholeFile, writeWholeFile } from '../component/whole-file.ts';
import { Outage } from '../component/outage.ts';
import { declareErrors, MillraceError, errorMessage } from '../errors.ts';

/** The code of the file of `resume`. */
export const cursorErrors = declareErrors({
  MILLRACE_CURSOR_FILE_INVALID: {
    help: 'The file of `resume` is not one that Millrace wrote, or another input keeps the cursor of the same URL in it. Nothing was changed; name another file, or remove this one to begin without a cursor.',
  },
});

/** How long a cursor may wait for the next write, in milliseconds. */
const SAVE_INTERVAL = 1_000;

const content = z.object({
  format: z.literal('millrace cursors'),
  version: z.literal(1),
  cursors: z.record(z.string(), z.string()),
});

/** The files that are open in this process, by path: inputs that name the same one share it. */
const openFiles = new Map<string, CursorFile>();

/** Cursors by key, kept in a file of JSON that is always whole: it is written beside and renamed. */
export class CursorFile {
  readonly path: string;
  readonly #claims = new Set<string>();
  #cursors = new Map<string, string>();
  #loading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> | undefined;
  #dirty = false;
  /** Told of each write that failed, the first of a row only. */
  #failed: ((error: unknown) => void) | undefined;
  readonly #outage = new Outage();

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens the file for the cursor of `key`, which one input at a time can have.
   * @throws MillraceError (fatal) when it cannot be read, is something else, or another input has the key
   */
  static async open(
    path: string,
    { key, formerKey }: { key: string; formerKey: string },
    failed: (error: unknown) => void,
  ): Promise<CursorFile> {
    const absolute = resolve(path);
    let file = openFiles.get(absolute);
    if (file === undefined) {
      file = new CursorFile(absolute);
      openFiles.set(absolute, file);
    }
    if (file.#claims.has(key)) {
      const message = `\`resume.path\` ${absolute}: another input keeps the cursor of ${key} in it already; give each input a file of its own`;
      throw new MillraceError(cursorErrors.MILLRACE_CURSOR_FILE_INVALID, message, { fatal: true });
    }
    file.#claims.add(key);
    file.#failed = failed;
    try {
      file.#loading ??= file.#load();
      await file.#loading;
      file.#rename(formerKey, key);
      return file;
    } catch (error) {
      file.#release(key);
      throw error;
    }
  }

  /** A cursor that stands under the former key is the key's, unless that has one. */
  #rename(former: string, key: string): void {
    const cursor = this.#cursors.get(former);
    if (former === key || cursor === undefined) return;
    this.#cursors.delete(former);
    this.#cursors.set(key, this.#cursors.get(key) ?? cursor);
    this.#dirty = true;
    this.#arm();
  }

  /** That the cursors are not on disk, while a write that failed is to be tried again. */
  get trouble(): string | undefined {
    return this.#outage.active ? this.#outage.describe(`the cursor is not saved in ${this.path}`) : undefined;
  }

  get(key: string): string | undefined {
    return this.#cursors.get(key);
  }

  /** It is on disk a second later at the latest. */
  set(key: string, cursor: string): void {
    if (this.#cursors.get(key) === cursor) return;
    this.#cursors.set(key, cursor);
    this.#dirty = true;
    this.#arm();
  }

  /** Writes what is not written, and gives the key back. */
  async close(key: string): Promise<void> {
    try {
      await this.#saving;
      if (this.#dirty) await this.#save();
    } finally {
      this.#release(key);
    }
  }

  #release(key: string): void {
    this.#claims.delete(key);
    if (this.#claims.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (openFiles.get(this.path) === this) openFiles.delete(this.path);
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#save();
    }, SAVE_INTERVAL);
  }

  async #load(): Promise<void> {
    const bytes = await readWholeFile(this.path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw unusable(this.path, 'read', error);
      await access(dirname(this.path), constants.W_OK).catch((cause: unknown) => {
        throw unusable(this.path, 'created', cause);
      });
      return undefined;
    });
    if (bytes === undefined) return;
    const parsed = content.safeParse(parseJson(bytes.toString()));
    if (!parsed.success) {
      const message = `\`resume.path\` ${this.path} is not a file of cursors (version 1), and it was not changed; name another file, or remove this one to begin without a cursor`;
      throw new MillraceError(cursorErrors.MILLRACE_CURSOR_FILE_INVALID, message, { fatal: true });
    }
    this.#cursors = new Map(Object.entries(parsed.data.cursors));
  }

  /** One write at a time. A write that fails is tried again. */
  async #save(): Promise<void> {
    while (this.#saving !== undefined) await this.#saving;
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#saving = this.#write().then(
      () => {
        this.#outage.over();
      },
      (error: unknown) => {
        this.#dirty = true;
        if (!this.#outage.active) this.#failed?.(error);
        this.#outage.failed(error);
      },
    );
    await this.#saving;
    this.#saving = undefined;
    if (this.#dirty && this.#claims.size > 0) this.#arm();
  }

  async #write(): Promise<void> {
    const cursors = Object.fromEntries(this.#cursors);
    const text = JSON.stringify({ format: 'millrace cursors', version: 1, cursors }, undefined, 2);
    await writeWholeFile(this.path, `${text}\n`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function unusable(path: string, verb: string, cause: unknown): MillraceError {
  const message = `\`resume.path\` ${path} cannot be ${verb}: ${errorMessage(cause)}`;
  return new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause, fatal: true });
}
