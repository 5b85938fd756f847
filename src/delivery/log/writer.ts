import { Waker } from '../../component/waker.ts';
import type { MillraceError } from '../../errors.ts';
import type { Keys } from '../../message/delivery.ts';
import type { Contiguous } from '../contiguous.ts';
import { failed, isNoDescriptor, waitsForDescriptor } from './faults.ts';
import { encodeAcks, recordTypes } from './format.ts';
import type { LogOptions } from './log-options.ts';
import type { Recovery } from './recovery.ts';
import { Reclaimer } from './reclaimer.ts';
import type { RememberedKeys } from './remembered-keys.ts';
import { onShortage } from './segment.ts';
import { size } from './size.ts';
import type { NewRecord, Store } from './store.ts';

/** At most so much is committed at a time, so that the first does not wait for too much. */
const COMMIT_BYTES = 8 * 1024 * 1024;
const COMMIT_RECORDS = 512;

/** How long an acknowledgement may wait for a commit to go with. Milliseconds. */
const ACK_DELAY = 100;

/** How long after the disk was full it is tried again. Milliseconds. */
const RETRY_DELAY = 1000;

/** An entry on its way to the disk. */
export interface Appending {
  /** Not sealed yet. */
  readonly record: Buffer;
  readonly number: number;
  readonly keys: Keys | undefined;
}

interface Waiting extends Appending {
  readonly resolve: (number: number) => void;
  readonly reject: (error: MillraceError) => void;
}

/** Decides what is written when: one loop, which does one thing after the other. */
export class LogWriter {
  readonly #options: LogOptions;
  readonly #store: Store;
  readonly #acknowledged: Contiguous;
  readonly #keys: RememberedKeys;
  readonly #reclaimer: Reclaimer;
  readonly #waker = new Waker();
  readonly #loop: Promise<void>;
  /** The last entry that is committed. */
  #committed: number;
  #waiting: Waiting[] = [];
  /** Acknowledged, and not written yet. */
  #acks: number[] = [];
  #acksDue = false;
  #syncDue = false;
  #ackTimer: NodeJS.Timeout | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #noSpace = false;
  /** Entries are written one at a time, as there was no space for more. */
  #single = false;
  /** All segments have been deleted for want of space, and it was not enough. */
  #emptied = false;
  #blocked: string | undefined;
  /** Why nothing more is taken. */
  #ending: MillraceError | undefined;
  #failure: MillraceError | undefined;

  constructor(options: LogOptions, store: Store, { acknowledged, keys, lastEntry }: Recovery) {
    this.#options = options;
    this.#store = store;
    this.#acknowledged = acknowledged;
    this.#keys = keys;
    this.#reclaimer = new Reclaimer(store, acknowledged, keys);
    this.#committed = lastEntry;
    this.#loop = this.#run();
  }

  get entries(): number {
    return this.#acknowledged.open(this.#committed);
  }

  get blocked(): string | undefined {
    return this.#failure?.message ?? this.#blocked;
  }

  isAcknowledged(number: number): boolean {
    return this.#acknowledged.has(number);
  }

  has(number: number): boolean {
    return number <= this.#committed && !this.#acknowledged.has(number);
  }

  append(appending: Appending): Promise<number> {
    if (this.#ending !== undefined) return Promise.reject(this.#ending);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...appending, resolve, reject });
      if (!this.#noSpace) this.#waker.wake();
    });
  }

  ack(number: number): void {
    if (this.#ending !== undefined || number > this.#committed || this.#acknowledged.add(number) === 0)
      return;
    this.#acks.push(number);
    if (this.#reclaimer.due || (this.#blocked !== undefined && this.entries === 0)) {
      this.#waker.wake();
    }
    this.#ackTimer ??= setTimeout(() => {
      this.#ackTimer = undefined;
      this.#acksDue = true;
      if (!this.#noSpace) this.#waker.wake();
    }, ACK_DELAY);
  }

  /** Writes what is acknowledged. What has not been written yet is rejected with `reason`. */
  async close(reason: MillraceError): Promise<void> {
    this.#ending ??= reason;
    this.#waker.wake();
    await this.#loop;
  }

  async #run(): Promise<void> {
    try {
      while (this.#ending === undefined) {
        await this.#reclaimer.reclaim();
        if (!(await this.#step())) await this.#waker.wait();
      }
      this.#refuseWaiting(this.#ending);
      await this.#write([]).catch(onShortage);
      await this.#store.sync();
    } catch (error) {
      this.#failure = failed(this.#options.path, 'written', error);
      this.#ending = this.#failure;
      this.#refuseWaiting(this.#failure);
    }
    clearTimeout(this.#ackTimer);
    clearTimeout(this.#syncTimer);
    await this.#store.close();
  }

  /** Does the next thing there is to do. @returns false when there is nothing, until it is woken */
  async #step(): Promise<boolean> {
    const [first] = this.#waiting;
    if (first !== undefined && this.entries === 0 && !this.#noSpace && !this.#hasSpace(first.record.length)) {
      // Nothing of the log is needed any more: a new segment lets the full one go.
      await this.#store.begin().catch(onShortage);
      await this.#reclaimer.reclaim();
    }
    const batch = this.#next();
    if (batch.length > 0) {
      await this.#commit(batch);
      return true;
    }
    if (first !== undefined) {
      const { maxBytes } = this.#options;
      this.#block(`the log is full: ${size(this.#store.bytes)} of ${size(maxBytes)}; waiting for the output`);
    }
    if (this.#acksDue) {
      this.#acksDue = false;
      await this.#write([]).catch(onShortage);
      this.#store.commit();
      return true;
    }
    if (this.#syncDue) {
      this.#syncDue = false;
      await this.#store.sync();
      return true;
    }
    return false;
  }

  /** What is committed next: all that waits, within limits. */
  #next(): Waiting[] {
    const most = this.#single || this.#options.sync === 'per_entry' ? 1 : COMMIT_RECORDS;
    const mostBytes = Math.min(COMMIT_BYTES, this.#store.segmentBytes);
    let count = 0;
    let bytes = 0;
    for (const { record } of this.#waiting) {
      // One entry always has space in a log in which nothing else is needed.
      const alone = count === 0 && this.entries === 0;
      const much = count === most || (count > 0 && bytes + record.length > mostBytes);
      if (!alone && (much || !this.#hasSpace(bytes + record.length))) break;
      count++;
      bytes += record.length;
    }
    return this.#waiting.slice(0, count);
  }

  #hasSpace(bytes: number): boolean {
    return this.#store.bytes + bytes <= this.#options.maxBytes;
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    try {
      await this.#write(batch);
    } catch (error) {
      onShortage(error);
      // There may be space for less.
      if (batch.length > 1) this.#single = true;
      else if (isNoDescriptor((error as Error).cause)) await this.#waitForDescriptor(error);
      else await this.#waitForDisk();
      return;
    }
    if (this.#options.sync === 'periodic') this.#syncLater();
    else await this.#store.sync();
    await this.#store.checkPresence();
    const now = Date.now();
    const segment = this.#store.active!;
    for (const { keys, number } of batch) {
      if (keys !== undefined) this.#keys.add({ ...keys, entry: number }, segment, now);
    }
    this.#committed = batch.at(-1)!.number;
    this.#store.commit();
    this.#noSpace = false;
    this.#single = false;
    this.#emptied = false;
    this.#unblock();
    this.#waiting.splice(0, batch.length);
    for (const { number, resolve } of batch) resolve(number);
  }

  async #waitForDisk(): Promise<void> {
    this.#noSpace = true;
    this.#block(`no space left on the disk of ${this.#options.path}; waiting for space`);
    if (this.entries === 0 && !this.#emptied) {
      this.#emptied = true;
      await this.#reclaimer.deleteAll();
    } else await this.#pause();
  }

  async #waitForDescriptor(error: unknown): Promise<void> {
    this.#noSpace = true;
    this.#block(waitsForDescriptor(this.#options.path, error));
    await this.#pause();
  }

  async #pause(): Promise<void> {
    if (this.#ending === undefined) await this.#waker.wait(undefined, RETRY_DELAY);
  }

  #syncLater(): void {
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = undefined;
      this.#syncDue = true;
      this.#waker.wake();
    }, this.#options.interval);
  }

  /** Writes entries, and with them what has been acknowledged meanwhile. Not synced. @throws ShortageError */
  async #write(batch: readonly Waiting[]): Promise<void> {
    const acks = this.#acks;
    this.#acks = [];
    const kept = this.#store.segments[0]?.firstEntry ?? Infinity;
    const useful = acks.filter((number) => number >= kept);
    const records: NewRecord[] = batch.map(({ record, number }) => ({
      type: recordTypes.entry,
      record,
      entry: number,
    }));
    if (useful.length > 0) records.push({ type: recordTypes.acks, record: encodeAcks(useful) });
    try {
      if (records.length > 0) {
        await this.#reclaimer.writeOwed();
        await this.#store.write(records);
      }
    } catch (error) {
      this.#acks = [...acks, ...this.#acks];
      throw error;
    }
  }

  #block(reason: string): void {
    if (this.#blocked === undefined) this.#options.events.blocked(reason);
    this.#blocked = reason;
  }

  #unblock(): void {
    if (this.#blocked === undefined) return;
    this.#blocked = undefined;
    this.#options.events.unblocked();
  }

  #refuseWaiting(error: MillraceError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
  }
}
