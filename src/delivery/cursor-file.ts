import { access, constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { readWholeFile, writeWholeFile } from '../component/whole-file.ts';
import { Outage } from '../component/outage.ts';
import { declareErrors, MillraceError, errorMessage } from '../errors.ts';

/** The code for the file of `resume`. */
export const cursorErrors = declareErrors({
  MILLRACE_CURSOR_FILE_INVALID: {
    help: 'Millrace did not write the file of `resume`, or another input keeps the cursor of the same URL in it. Nothing was changed. Name another file, or remove this one to begin without a cursor.',
  },
});

/** The longest wait of a cursor for the next write, in milliseconds. */
const SAVE_INTERVAL = 1_000;

const content = z.object({
  format: z.literal('millrace cursors'),
  version: z.literal(1),
  cursors: z.record(z.string(), z.string()),
});

/** The open files of this process, by path: inputs that name the same file share it. */
const openFiles = new Map<string, CursorFile>();

/** Keeps cursors by key in a JSON file that is always whole: it is written beside the old one and renamed. */
export class CursorFile {
  readonly path: string;
  readonly #claims = new Set<string>();
  #cursors = new Map<string, string>();
  #loading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> | undefined;
  #dirty = false;
  /** Called for the first failed write of each row of failures. */
  #failed: ((error: unknown) => void) | undefined;
  readonly #outage = new Outage();

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens the file for the cursor of `key`, which only one input at a time can hold.
   * @throws MillraceError (fatal) if the file cannot be read or is something else, or if another input holds the key
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
      const message = `\`resume.path\` ${absolute}: another input already keeps the cursor of ${key} in it; give each input its own file`;
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

  /** Moves the cursor of the former key to `key`, unless `key` has one. */
  #rename(former: string, key: string): void {
    const cursor = this.#cursors.get(former);
    if (former === key || cursor === undefined) return;
    this.#cursors.delete(former);
    this.#cursors.set(key, this.#cursors.get(key) ?? cursor);
    this.#dirty = true;
    this.#arm();
  }

  /** Says that the cursors are not on disk while a failed write waits for its retry. */
  get trouble(): string | undefined {
    return this.#outage.active ? this.#outage.describe(`the cursor is not saved in ${this.path}`) : undefined;
  }

  get(key: string): string | undefined {
    return this.#cursors.get(key);
  }

  /** Sets the cursor of a key. It is on disk within a second. */
  set(key: string, cursor: string): void {
    if (this.#cursors.get(key) === cursor) return;
    this.#cursors.set(key, cursor);
    this.#dirty = true;
    this.#arm();
  }

  /** Writes all pending changes, and releases the key. */
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
      const message = `\`resume.path\` ${this.path} is not a file of cursors (version 1); it was not changed. Name another file, or remove this one to begin without a cursor`;
      throw new MillraceError(cursorErrors.MILLRACE_CURSOR_FILE_INVALID, message, { fatal: true });
    }
    this.#cursors = new Map(Object.entries(parsed.data.cursors));
  }

  /** Runs one write at a time, and retries one that fails. */
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
