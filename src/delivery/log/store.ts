import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isNoSpace } from './faults.ts';
import { HEADER_BYTES, recordTypes, sealRecord, segmentName, type RecordType } from './format.ts';
import { LOCK_FILE } from './lock.ts';
import { MARK_FILE, MarkFile } from './mark.ts';
import { Presence } from './presence.ts';
import type { Recovery } from './recovery.ts';
import { ActiveSegment, waitable, type Segment } from './segment.ts';

/** What a store holds open as long as it is. */
interface Handles {
  /** Syncing it must not need a descriptor when there is none left. */
  readonly folder: FileHandle;
  readonly mark: MarkFile;
  readonly presence: Presence;
}

/** A record that is to be written; not sealed yet. */
export interface NewRecord {
  readonly type: RecordType;
  readonly record: Buffer;
  /** The number of the entry that it is. */
  readonly entry?: number;
}

/** The files of a log that is open: begins, writes, syncs and deletes segments, and numbers the records. */
export class Store {
  readonly #path: string;
  /** When the next segment is begun. */
  readonly segmentBytes: number;
  readonly #folder: FileHandle;
  readonly #mark: MarkFile;
  readonly #presence: Presence;
  /** There is a mark on the disk; what is in no segment is not missed without one. */
  #marked = false;
  readonly #segments: Segment[];
  #active: ActiveSegment | undefined;
  /**
   * Bytes of the active segment, without keys that were carried over. If these counted, keys that are more than a segment
   * would make each segment full from the start, and be written again with every commit.
   */
  #filled = 0;
  #nextSegment: number;
  #nextRecord: number;
  /** The first record that may not be on the disk. */
  #undurable: number;
  /** The last entry that is written. */
  #lastEntry: number;
  #oldest: number;
  #bytes: number;

  private constructor(path: string, segmentBytes: number, recovery: Recovery, handles: Handles) {
    this.#path = path;
    this.segmentBytes = segmentBytes;
    this.#folder = handles.folder;
    this.#mark = handles.mark;
    this.#presence = handles.presence;
    this.#segments = [...recovery.segments];
    this.#nextSegment = recovery.nextSegment;
    this.#nextRecord = recovery.nextRecord;
    this.#undurable = recovery.nextRecord;
    this.#lastEntry = recovery.lastEntry;
    this.#oldest = recovery.oldest;
    this.#bytes = this.#segments.reduce((sum, { size }) => sum + size, 0);
  }

  static async open(path: string, segmentBytes: number, recovery: Recovery): Promise<Store> {
    const mark = await MarkFile.open(path);
    let folder: FileHandle | undefined;
    try {
      folder = await open(path, 'r');
      const names = [LOCK_FILE, MARK_FILE, ...recovery.segments.map(({ number }) => segmentName(number))];
      const presence = await Presence.of(path, folder, names);
      const store = new Store(path, segmentBytes, recovery, { folder, mark, presence });
      store.#writeMark();
      return store;
    } catch (error) {
      await Promise.allSettled([mark.close(), folder?.close()]);
      throw error;
    }
  }

  /** Of all segments. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Segments before this one are deleted, or are about to be. */
  get oldest(): number {
    return this.#oldest;
  }

  /** The number of the segment that is written; undefined when none is. */
  get active(): number | undefined {
    return this.#active?.number;
  }

  /**
   * Writes records, all of them or none; a new segment is begun for them where one is due.
   * @throws ShortageError; after any other error it is not known what is on the disk
   */
  async write(records: readonly NewRecord[]): Promise<void> {
    const bytes = records.reduce((sum, { record }) => sum + record.length, 0);
    const filling = records.reduce(
      (sum, { type, record }) => sum + (type === recordTypes.reclaimed ? 0 : record.length),
      0,
    );
    const full = this.#filled > HEADER_BYTES && this.#filled + filling > this.segmentBytes;
    if (this.#active === undefined || full) await this.begin();
    const active = this.#active!;
    let number = this.#nextRecord;
    let offset = active.size;
    for (const { type, record, entry } of records) {
      sealRecord(record, { number, type, pending: number - this.#undurable }, active.seed);
      if (entry !== undefined) active.note({ record: number, entry, offset });
      number++;
      offset += record.length;
    }
    await active.write(
      records.map(({ record }) => record),
      bytes,
    );
    this.#nextRecord = number;
    this.#bytes += bytes;
    this.#filled += filling;
    this.#lastEntry = records.findLast(({ entry }) => entry !== undefined)?.entry ?? this.#lastEntry;
  }

  /** What is written is committed: readers may have it. */
  commit(): void {
    this.#active?.commit(this.#lastEntry);
  }

  /** Resolves when all that is written is on the disk. */
  async sync(): Promise<void> {
    const active = this.#active;
    if (active === undefined) return;
    await active.sync();
    this.#undurable = this.#nextRecord;
    this.#writeMark();
    // Before anybody is told: else a kill just now would leave an end that is confirmed and looks like one that is not.
    await this.#mark.written();
  }

  /** Begins a segment. @throws ShortageError */
  async begin(): Promise<void> {
    await this.sync();
    const header = {
      segment: this.#nextSegment,
      firstRecord: this.#nextRecord,
      firstEntry: this.#lastEntry + 1,
      oldest: this.#oldest,
    };
    if (!this.#marked) {
      this.#writeMark();
      // From the first segment on there is one.
      await this.#mark.sync().catch(waitable);
      await this.#folder.sync();
      this.#marked = true;
    }
    const before = this.#active;
    const active = await ActiveSegment.create(this.#path, this.#folder, header);
    this.#presence.added(segmentName(active.number), active.ino);
    before?.commit(this.#lastEntry);
    await before?.close();
    this.#active = active;
    this.#nextSegment++;
    this.#segments.push(active);
    this.#bytes += active.size;
    this.#filled = active.size;
    this.#writeMark();
  }

  /** From here on, what is before the segment `oldest` does not count. */
  forget(oldest: number): void {
    this.#oldest = oldest;
  }

  /** Has it on the disk that segments are forgotten, in the one file that needs no space for that. */
  async syncMark(): Promise<void> {
    this.#writeMark();
    try {
      await this.#mark.sync();
    } catch (error) {
      // A mark that was never written before needs space. Without it, more is kept than must be.
      if (!isNoSpace(error)) throw error;
    }
  }

  /** Deletes the segments that are forgotten. */
  async deleteForgotten(): Promise<void> {
    while (this.#segments.length > 0 && this.#segments[0]!.number < this.#oldest) {
      const { number, size } = this.#segments.shift()!;
      if (number === this.#active?.number) {
        await this.#active.close();
        this.#active = undefined;
      }
      this.#presence.removed(segmentName(number));
      await unlink(join(this.#path, segmentName(number)));
      // One at a time, so that after a power cut none is missing between others.
      await this.#folder.sync();
      this.#bytes -= size;
    }
  }

  /** Forgets and deletes all segments: for a disk that is so full that no other can be begun before. */
  async deleteAll(): Promise<void> {
    await this.sync();
    this.forget(this.#nextSegment);
    await this.syncMark();
    await this.deleteForgotten();
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#active?.close(), this.#mark.close(), this.#folder.close()]);
  }

  /** @throws MillraceError MILLRACE_WAL_FAILED when somebody has removed or replaced files of the log */
  async checkPresence(): Promise<void> {
    await this.#presence.check();
  }

  #writeMark(): void {
    const last = this.#segments.at(-1);
    this.#mark.write({
      // What was before the next one is forgotten when there is none.
      segment: last?.number ?? this.#nextSegment - 1,
      offset: this.#active?.durable ?? last?.size ?? 0,
      oldest: this.#oldest,
      nextRecord: this.#nextRecord,
      nextEntry: this.#lastEntry + 1,
    });
  }
}
