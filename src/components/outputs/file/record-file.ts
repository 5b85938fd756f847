import { write } from 'node:fs';
import { open, rename, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ComponentEvents } from '../../../telemetry/events.ts';
import { errorMessage, MillraceError } from '../../../errors.ts';
import { makeFolders, syncFolder } from '../../../folders.ts';
import { finishedPath } from './finished.ts';

/** How often a busy file is looked up at its path, rather than before every batch. Milliseconds. */
const LOOK_EVERY = 10;

export interface RecordFileOptions {
  /** Ends each record. */
  readonly terminator: Buffer;
  readonly sync: boolean;
  /**
   * The size in bytes at which a file is finished, and the period in milliseconds after which it is; Infinity for
   * never.
   */
  readonly rotate: { readonly size: number; readonly every: number };
  readonly events: ComponentEvents;
  /** Called when a file of this path has been finished, and when the path is opened. */
  readonly tidy: (path: string, extension: string) => void;
}

/**
 * The file at a path: it is reopened when somebody has moved or removed it, and finished (renamed, so that a new one
 * begins) when it is due. One call at a time.
 */
export class RecordFile {
  readonly path: string;
  readonly #extension: string;
  readonly #options: RecordFileOptions;
  #truncate: boolean;
  #file: FileHandle | undefined;
  /** Identifies the open file, whatever its name is by now. */
  #identity: { readonly dev: bigint; readonly ino: bigint } | undefined;
  /** False for a pipe or a device, which has no size and is never finished or repaired. */
  #regular = false;
  /** Where its last whole record ends. */
  #end = 0;
  /** Bytes of a write that failed halfway. */
  #torn = 0;
  /** The number of the period in which the file was written last. */
  #period = 0;
  #unsynced = false;
  /** When it was last seen at its path, in milliseconds of `performance.now()`. */
  #seen = 0;

  constructor(path: string, extension: string, truncate: boolean, options: RecordFileOptions) {
    this.path = path;
    this.#extension = extension;
    this.#truncate = truncate;
    this.#options = options;
  }

  /** Creates the file and its folders, if they are missing. @throws as `append` */
  async open(): Promise<void> {
    if (this.#file === undefined) await this.#do('open', () => this.#open());
  }

  /**
   * Appends `records`, which are whole, from `start` on. It calls `written` for each piece that is whole in a file,
   * with the end of the piece.
   * @throws MillraceError MILLRACE_FILE_UNAVAILABLE; its cause is the system's error
   */
  async append(records: Uint8Array, start: number, written: (end: number) => void): Promise<void> {
    for (let at = start; at < records.length;) {
      await this.#do('open', () => this.#settle());
      if (this.#isDue(records, at)) {
        await this.#do('rotate', () => this.#finish());
        continue;
      }
      const piece = records.subarray(at, this.#fitting(records, at));
      await this.#do('write', () => this.#write(piece));
      at += piece.length;
      written(at);
    }
    await this.#sync();
  }

  /** Finishes the file if its period is over, even if nothing is being written. */
  async finishDue(): Promise<void> {
    if (this.#file === undefined) return;
    await this.#settle();
    if (this.#regular && this.#end > 0 && this.#periodNow() > this.#period) await this.#finish();
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #open(): Promise<void> {
    const file = await open(this.path, 'a+').catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      await makeFolders(dirname(this.path));
      return await open(this.path, 'a+');
    });
    try {
      const info = await file.stat({ bigint: true });
      this.#identity = info;
      this.#regular = info.isFile();
      this.#end = Number(info.size);
      this.#torn = 0;
      // An empty one has no period of its own yet.
      this.#period = info.size > 0n ? this.#periodOf(Number(info.mtimeMs)) : this.#periodNow();
      if (this.#regular) {
        if (this.#truncate) await file.truncate(0);
        else await this.#endLastRecord(file);
        // Only once: a reopened file holds what was written since.
        if (this.#truncate) this.#end = 0;
        this.#truncate = false;
        if (this.#options.sync) await syncFolder(dirname(this.path));
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#file = file;
    this.#seen = performance.now();
    this.#options.tidy(this.path, this.#extension);
  }

  /** Makes sure that the open file is the one at the path, and that it ends with a whole record. */
  async #settle(): Promise<void> {
    const now = performance.now();
    if (this.#file !== undefined && this.#torn === 0 && now - this.#seen < LOOK_EVERY) return;
    this.#seen = now;
    if (this.#file !== undefined && this.#identity !== undefined) {
      const { dev, ino } = this.#identity;
      const info = await stat(this.path, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (info === undefined || info.dev !== dev || info.ino !== ino) {
        await this.#sync();
        await this.close();
      } else if (this.#regular) {
        if (this.#torn > 0) await this.#mend(this.#file, Number(info.size));
        // Somebody may have cut it meanwhile (copytruncate).
        else this.#end = Number(info.size);
      }
    }
    if (this.#file === undefined) await this.#open();
  }

  /** Takes a torn write back, unless somebody else has written behind it: then it just ends the torn record. */
  async #mend(file: FileHandle, size: number): Promise<void> {
    if (size === this.#end + this.#torn) await file.truncate(this.#end);
    else {
      await file.write(this.#options.terminator);
      this.#end = size + this.#options.terminator.length;
    }
    this.#torn = 0;
  }

  async #endLastRecord(file: FileHandle): Promise<void> {
    if (this.#end === 0) return;
    const { terminator, events } = this.#options;
    const { length } = terminator;
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, Math.max(0, this.#end - length));
    if (buffer.equals(terminator)) return;
    events.noticed(
      { path: this.path },
      `${this.path} ends in the middle of a message; starting a new message`,
    );
    await file.write(terminator);
    this.#end += length;
  }

  async #write(piece: Uint8Array): Promise<void> {
    const { fd } = this.#file!;
    this.#unsynced = true;
    for (let done = 0; done < piece.length;) {
      done += await writeSome(fd, piece, done);
      this.#torn = done;
    }
    this.#torn = 0;
    this.#end += piece.length;
    this.#period = this.#periodNow();
  }

  /** Whether the file must be finished before the record at `at` is written. */
  #isDue(records: Uint8Array, at: number): boolean {
    if (!this.#regular || this.#end === 0) return false;
    const { size } = this.#options.rotate;
    if (this.#periodNow() > this.#period) return true;
    return this.#end + records.length - at > size && this.#end + this.#endOf(records, at) - at > size;
  }

  /** The end of the records that still fit, but of one at least. */
  #fitting(records: Uint8Array, at: number): number {
    const room = this.#options.rotate.size - this.#end;
    if (!this.#regular || records.length - at <= room) return records.length;
    const { terminator } = this.#options;
    let fits = this.#endOf(records, at);
    // Searched backwards, longer terminators could begin in one record and end in the next.
    if (terminator.length === 1)
      return Math.max(fits, records.lastIndexOf(terminator[0]!, at + room - 1) + 1);
    for (let end = fits; end <= at + room; end = this.#endOf(records, end)) fits = end;
    return fits;
  }

  /** The end of the record at `at`, including its terminator. */
  #endOf(records: Uint8Array, at: number): number {
    const { terminator } = this.#options;
    const bytes = Buffer.from(records.buffer, records.byteOffset, records.length);
    const found = terminator.length === 1 ? bytes.indexOf(terminator[0]!, at) : bytes.indexOf(terminator, at);
    return found + terminator.length;
  }

  async #finish(): Promise<void> {
    await this.#sync();
    const finished = await finishedPath(this.path, this.#extension);
    await this.close();
    await rename(this.path, finished);
    await this.#open();
  }

  #periodNow(): number {
    return this.#periodOf(Date.now());
  }

  /** Periods begin at whole multiples of their length since 1970, UTC: one of 24 hours at midnight. */
  #periodOf(time: number): number {
    const { every } = this.#options.rotate;
    return every === Infinity ? 0 : Math.floor(time / every);
  }

  /**
   * After a failure the system may have dropped data that it could not write: a second sync would falsely succeed.
   */
  async #sync(): Promise<void> {
    if (!this.#options.sync || !this.#unsynced) return;
    try {
      await this.#file?.datasync();
    } catch (cause) {
      // A pipe has nothing to sync.
      if ((cause as NodeJS.ErrnoException).code !== 'EINVAL') {
        const message = `cannot sync ${this.path}: ${errorMessage(cause)}`;
        throw new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause, fatal: true });
      }
    }
    this.#unsynced = false;
  }

  async #do(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (error instanceof MillraceError) throw error;
      throw unavailable(what, this.path, error);
    }
  }
}

/** Appends bytes from `start` on, and resolves with their number. A FileHandle’s `write` takes a quarter more time. */
function writeSome(fd: number, bytes: Uint8Array, start: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, start, bytes.length - start, null, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    });
  });
}

export function unavailable(action: string, path: string, cause: unknown, fatal = false): MillraceError {
  const message = `cannot ${action} ${path}: ${errorMessage(cause)}`;
  return new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause, fatal });
}
