import { MillraceError } from '../../errors.ts';
import type { Entry } from './entry.ts';
import { encodeEntry } from './entry-codec.ts';
import { CrashRecord } from './crash-record.ts';
import { failed, logErrors } from './faults.ts';
import { makeFolder } from './files.ts';
import { FolderLock } from './lock.ts';
import type { LogOptions } from './log-options.ts';
import { LogReader } from './reader.ts';
import { recover, type Recovery } from './recovery.ts';
import type { KeyGroup } from './remembered-keys.ts';
import { Store } from './store.ts';
import { LogWriter } from './writer.ts';

export { isNoDescriptor, waitsForDescriptor } from './faults.ts';
export type { LogReader } from './reader.ts';

const MIB = 1024 * 1024;

/**
 * A log of batches: what was appended is there after a crash, in order, until it is acknowledged.
 *
 * One process writes it. Its promise: an entry is on the disk when `append` resolves (`periodic` excepted), and a log
 * that has lost or changed something is refused, never read past it in silence. docs/decisions/0004-the-log.md says why
 * it is made as it is.
 */
export class Log {
  /** The entries of before that are not acknowledged: from the first of them to the last of all entries. */
  readonly recovered: {
    readonly first: number;
    readonly last: number;
    readonly entries: number;
    readonly messages: number;
  };
  /** What was remembered of before and still counts, oldest first. */
  readonly keys: readonly KeyGroup[];
  /** How the process before this one ended. */
  readonly crashes: CrashRecord;
  readonly #path: string;
  readonly #lock: FolderLock;
  readonly #store: Store;
  readonly #writer: LogWriter;
  #appended: number;
  /** Why nothing can be read now. */
  #readBlocked: string | undefined;
  #closed: Promise<void> | undefined;

  private constructor(
    options: LogOptions,
    {
      lock,
      recovery,
      store,
      crashes,
    }: { lock: FolderLock; recovery: Recovery; store: Store; crashes: CrashRecord },
  ) {
    const { acknowledged, keys, lastEntry, messages } = recovery;
    this.#path = options.path;
    this.crashes = crashes;
    this.#lock = lock;
    this.#store = store;
    this.#writer = new LogWriter(options, store, recovery);
    this.#appended = lastEntry;
    this.keys = keys.list(Date.now());
    this.recovered = { first: acknowledged.first, last: lastEntry, entries: this.entries, messages };
    const { entries, bytes } = this;
    options.events.recovered({ entries, messages, bytes, cutBytes: recovery.cutBytes });
  }

  /**
   * Locks the log, and reads and checks all that is in it.
   * @throws MillraceError MILLRACE_WAL_LOCKED, MILLRACE_WAL_DAMAGED, MILLRACE_WAL_VERSION, MILLRACE_WAL_FAILED; all fatal
   */
  static async open(options: LogOptions): Promise<Log> {
    const { path, maxBytes } = options;
    const segmentBytes = options.segmentBytes ?? Math.min(Math.max(maxBytes / 16, MIB), 64 * MIB);
    await makeFolder(path).catch((error: unknown) => {
      throw failed(path, 'opened', error);
    });
    const lock = await FolderLock.acquire(path);
    let crashes: CrashRecord | undefined;
    try {
      crashes = await CrashRecord.open(path);
      const recovery = await recover(path);
      const store = await Store.open(path, segmentBytes, recovery);
      return new Log(options, { lock, recovery, store, crashes });
    } catch (error) {
      await crashes?.close();
      lock.release();
      throw failed(path, 'opened', error);
    }
  }

  /** Bytes on the disk. */
  get bytes(): number {
    return this.#store.bytes;
  }

  /** Entries that are not acknowledged. */
  get entries(): number {
    return this.#writer.entries;
  }

  /** Why nothing can be written or read now. */
  get blocked(): string | undefined {
    return this.#writer.blocked ?? this.#readBlocked;
  }

  /** True for an entry that is there and not acknowledged. */
  has(number: number): boolean {
    return this.#writer.has(number);
  }

  /**
   * Writes an entry, and resolves with its number when it is committed. It waits while the log is full. What `entry`
   * consists of may be used again at once.
   * @throws MillraceError MILLRACE_WAL_FAILED after an error of the disk, and when the log is closed
   */
  async append(entry: Entry): Promise<number> {
    if (this.#closed !== undefined) throw closed(this.#path);
    const number = this.#appended + 1;
    const record = encodeEntry(entry, number);
    this.#appended = number;
    return await this.#writer.append({ record, number, keys: entry.keys });
  }

  /** An entry is done with. It may be told again, and in any order. */
  ack(number: number): void {
    if (this.#closed === undefined) this.#writer.ack(number);
  }

  /** Reads committed entries that are not acknowledged, from the one numbered `from` on. */
  reader(from: number): LogReader {
    return new LogReader(
      {
        path: this.#path,
        segments: () => this.#store.segments,
        acknowledged: (number) => this.#writer.isAcknowledged(number),
        blocked: (reason) => (this.#readBlocked = reason),
      },
      from,
    );
  }

  /** Writes what is acknowledged, and gives the log free for others. What still waits to be appended is refused. */
  async close(): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    try {
      await this.#writer.close(closed(this.#path));
      await this.crashes.close();
    } finally {
      this.#lock.release();
    }
  }
}

function closed(path: string): MillraceError {
  return new MillraceError(logErrors.MILLRACE_WAL_FAILED, `the log in ${path} is closed`, { fatal: true });
}
