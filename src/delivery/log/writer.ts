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

/** The most bytes in one commit, so that its first entry does not wait for too many others. */
const COMMIT_BYTES = 8 * 1024 * 1024;
const COMMIT_RECORDS = 512;

/** How long an acknowledgement may wait for a commit that takes it along. In milliseconds. */
const ACK_DELAY = 100;

/** How long to wait before trying a full disk again. In milliseconds. */
const RETRY_DELAY = 1000;

/** An entry on its way to the disk. */
export interface Appending {
  /** Not yet sealed. */
  readonly record: Buffer;
  readonly number: number;
  readonly keys: Keys | undefined;
}

interface Waiting extends Appending {
  readonly resolve: (number: number) => void;
  readonly reject: (error: MillraceError) => void;
}

/** Decides what to write and when: one loop, which does one thing at a time. */
export class LogWriter {
  readonly #options: LogOptions;
  readonly #store: Store;
  readonly #acknowledged: Contiguous;
  readonly #keys: RememberedKeys;
  readonly #reclaimer: Reclaimer;
  readonly #waker = new Waker();
  readonly #loop: Promise<void>;
  /** The last committed entry. */
  #committed: number;
  #waiting: Waiting[] = [];
  /** Acknowledgements that are not yet written. */
  #acks: number[] = [];
  #acksDue = false;
  #syncDue = false;
  #ackTimer: NodeJS.Timeout | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #noSpace = false;
  /** Entries are written one at a time, because there was no space for more. */
  #single = false;
  /** All segments have been deleted for lack of space, and that was not enough. */
  #emptied = false;
  #blocked: string | undefined;
  /** Why no more entries are accepted. */
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

  /** Writes pending acknowledgements. Entries that are not yet written are rejected with `reason`. */
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

  /** Does the next piece of work. @returns false if there is none until the loop is woken */
  async #step(): Promise<boolean> {
    const [first] = this.#waiting;
    if (first !== undefined && this.entries === 0 && !this.#noSpace && !this.#hasSpace(first.record.length)) {
      // Nothing in the log is needed any more: a new segment lets the full one be deleted.
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

  /** The entries to commit next: all that wait, within limits. */
  #next(): Waiting[] {
    const most = this.#single || this.#options.sync === 'per_entry' ? 1 : COMMIT_RECORDS;
    const mostBytes = Math.min(COMMIT_BYTES, this.#store.segmentBytes);
    let count = 0;
    let bytes = 0;
    for (const { record } of this.#waiting) {
      // An empty log always has space for one entry.
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
      // There may be space for fewer.
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

  /** Writes entries together with pending acknowledgements. Does not sync. @throws ShortageError */
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
