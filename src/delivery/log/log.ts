import { MillraceError } from '../../errors.ts';
import type { Entry } from './entry.ts';
import { encodeEntry } from './entry-codec.ts';
import { CrashRecord } from './crash-record.ts';
import { failed, logErrors } from './faults.ts';
import { makeFolder } from './files.ts';
import { FolderLock } from './lock.ts';
import type { LogOptions } from './log-options.ts';
import { identify } from './identity.ts';
import { LogReader } from './reader.ts';
import { recover, type Recovery } from './recovery.ts';
import type { KeyGroup } from './remembered-keys.ts';
import { Store } from './store.ts';
import { LogWriter } from './writer.ts';

export { isNoDescriptor, waitsForDescriptor } from './faults.ts';
export type { LogReader } from './reader.ts';

const MIB = 1024 * 1024;

/**
 * A log of batches: an appended batch survives a crash, in order, until it is acknowledged.
 *
 * One process writes it. It promises that an entry is on the disk when `append` resolves (except with `periodic`), and
 * that a log with a lost or changed part is refused, never read past it in silence. docs/decisions/0004-the-log.md
 * explains the design.
 */
export class Log {
  /** The range of earlier entries, from the first unacknowledged one to the last of all. */
  readonly recovered: {
    readonly first: number;
    readonly last: number;
    readonly entries: number;
    readonly messages: number;
  };
  /** The earlier keys that still count, oldest first. */
  readonly keys: readonly KeyGroup[];
  /** Tells it from every other log. */
  readonly id: string;
  /** The record of how the previous process ended. */
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
      id,
      lock,
      recovery,
      store,
      crashes,
    }: { id: string; lock: FolderLock; recovery: Recovery; store: Store; crashes: CrashRecord },
  ) {
    const { acknowledged, keys, lastEntry, messages } = recovery;
    this.#path = options.path;
    this.id = id;
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
   * Locks the log, then reads and checks all of it.
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
      const id = await identify(path, recovery.lastEntry === 0);
      const store = await Store.open(path, segmentBytes, recovery);
      return new Log(options, { id, lock, recovery, store, crashes });
    } catch (error) {
      await crashes?.close();
      lock.release();
      throw failed(path, 'opened', error);
    }
  }

  /** The size on the disk, in bytes. */
  get bytes(): number {
    return this.#store.bytes;
  }

  /** The number of entries that are not acknowledged. */
  get entries(): number {
    return this.#writer.entries;
  }

  /** Why nothing can be written or read now. */
  get blocked(): string | undefined {
    return this.#writer.blocked ?? this.#readBlocked;
  }

  /** True for an entry that is in the log and not acknowledged. */
  has(number: number): boolean {
    return this.#writer.has(number);
  }

  /**
   * Writes an entry, and resolves with its number when it is committed. Waits while the log is full. The caller may
   * reuse the parts of `entry` at once.
   * @throws MillraceError MILLRACE_WAL_FAILED after a disk error, and when the log is closed
   */
  async append(entry: Entry): Promise<number> {
    if (this.#closed !== undefined) throw closed(this.#path);
    const number = this.#appended + 1;
    const record = encodeEntry(entry, number);
    this.#appended = number;
    return await this.#writer.append({ record, number, keys: entry.keys });
  }

  /** Acknowledges an entry: it is done. Repeats are allowed, in any order. */
  ack(number: number): void {
    if (this.#closed === undefined) this.#writer.ack(number);
  }

  /** Reads committed entries that are not acknowledged, starting with number `from`. */
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

  /** Writes pending acknowledgements and releases the log. Entries that still wait to be appended are refused. */
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
