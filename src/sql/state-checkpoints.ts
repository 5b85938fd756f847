import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Checkpoints, KeptState } from '../component/context.ts';
import { MillraceError, errorMessage } from '../errors.ts';
import { makeFolders, syncFolder } from '../folders.ts';
import type { LogEntries } from '../message/receipt.ts';
import { sqlErrors } from './sql-errors.ts';

/** How often tables are written at most, in milliseconds, and the largest share of the time that writing them takes. */
const EVERY = 1_000;
const SHARE = 1 / 20;

const FOLDER_MODE = 0o700;

/** The entry of a log up to which tables have all messages. */
export interface TablePosition {
  readonly log: string;
  readonly entry: number;
}

/** Writes tables into a file, and reads them. */
export interface TableFiles {
  save(path: string, position: TablePosition): Promise<void>;
  /** @returns undefined if there is no such file */
  load(path: string): Promise<TablePosition | undefined>;
}

/**
 * Writes the tables of a query beside the log from time to time, each time with the entry up to which they have the
 * messages. A file takes the place of the last one when everything up to that entry has been delivered: after a crash,
 * the query runs again for all later entries, with the tables as they were before them.
 */
export class StateCheckpoints implements KeptState {
  readonly #files: () => Promise<TableFiles>;
  #folder = '';
  #log = '';
  #checkpoints: Checkpoints | undefined;
  /** The last entry that the tables have, and the last one that a file has or is about to have. */
  #seen = 0;
  #saved = 0;
  /** When the tables should be written next, in milliseconds of `performance.now()`. */
  #due = 0;
  #publishing: Promise<void> | undefined;
  #trouble: string | undefined;

  constructor(files: () => Promise<TableFiles>) {
    this.#files = files;
  }

  /** The folder of the files. */
  set folder(path: string) {
    this.#folder = path;
  }

  async restore(checkpoints: Checkpoints, log: string): Promise<number> {
    this.#checkpoints = checkpoints;
    this.#log = log;
    try {
      const position = await (await this.#files()).load(this.#file);
      this.#due = performance.now() + EVERY;
      // Entries of a log that was removed and begun anew have other numbers.
      this.#saved = position?.log === log ? position.entry : 0;
      this.#seen = this.#saved;
      return this.#saved;
    } catch (cause) {
      const message = `the tables of \`state\` cannot be restored from ${this.#file}: ${errorMessage(cause)}; remove the file to begin with empty tables`;
      throw new MillraceError(sqlErrors.MILLRACE_SQL_STATE_UNREADABLE, message, { cause, fatal: true });
    }
  }

  /** Call it before a batch changes the tables. */
  before(position: LogEntries | undefined): void {
    if (position === undefined) return;
    this.#seen = position.last;
    this.#checkpoints?.changes(position.last);
  }

  /** Call it after a batch. */
  async after(): Promise<void> {
    if (this.#checkpoints?.isPressed === true || performance.now() >= this.#due) await this.save();
  }

  /** When `save` should be called, in milliseconds of `performance.now()`. */
  get due(): number | undefined {
    return this.#seen > this.#saved || this.#publishing !== undefined ? this.#due : undefined;
  }

  /** Writes the tables if they have changed. Call it between batches. */
  async save(): Promise<void> {
    const start = performance.now();
    this.#due = start + EVERY;
    const entry = this.#seen;
    if (this.#publishing !== undefined || entry === this.#saved) return;
    const next = join(this.#folder, 'next.db');
    try {
      for (const folder of await makeFolders(this.#folder, FOLDER_MODE)) await syncFolder(dirname(folder));
      await Promise.all([next, `${next}.wal`].map((file) => rm(file, { force: true })));
      await (await this.#files()).save(next, { log: this.#log, entry });
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#due = performance.now() + Math.max(EVERY, (performance.now() - start) / SHARE);
    this.#publishing = this.#publish(next, entry).finally(() => (this.#publishing = undefined));
  }

  notReady(): string | undefined {
    return this.#trouble;
  }

  async finish(): Promise<void> {
    await this.#publishing;
  }

  get #file(): string {
    return join(this.#folder, 'tables.db');
  }

  /** Never throws. */
  async #publish(file: string, entry: number): Promise<void> {
    if (!(await this.#checkpoints!.whenDelivered(entry))) return;
    try {
      await rename(file, this.#file);
      await syncFolder(this.#folder);
      this.#saved = entry;
      this.#trouble = undefined;
      this.#checkpoints!.release(entry);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#trouble = `the tables of \`state\` cannot be written to ${this.#folder}, and the log keeps its entries until they are: ${errorMessage(error)}`;
  }
}
