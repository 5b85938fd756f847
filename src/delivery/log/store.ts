import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isNoSpace } from './faults.ts';
import { HEADER_BYTES, recordTypes, sealRecord, segmentName, type RecordType } from './format.ts';
import { LOCK_FILE } from './lock.ts';
import { MARK_FILE, MarkFile } from './mark.ts';
import { Presence } from './presence.ts';
import type { Recovery } from './recovery.ts';
import { ActiveSegment, waitable, type Segment } from './segment.ts';

/** The handles that a store keeps open all its life. */
interface Handles {
  /** Kept open, because syncing it must not need a descriptor when none is left. */
  readonly folder: FileHandle;
  readonly mark: MarkFile;
  readonly presence: Presence;
}

/** A record to write, not yet sealed. */
export interface NewRecord {
  readonly type: RecordType;
  readonly record: Buffer;
  /** The number of the entry that it holds. */
  readonly entry?: number;
}

/** The files of an open log: begins, writes, syncs and deletes segments, and numbers the records. */
export class Store {
  readonly #path: string;
  /** The size at which the next segment is begun. */
  readonly segmentBytes: number;
  readonly #folder: FileHandle;
  readonly #mark: MarkFile;
  readonly #presence: Presence;
  /** Whether a mark is on the disk. Before the first segment, none is needed. */
  #marked = false;
  readonly #segments: Segment[];
  #active: ActiveSegment | undefined;
  /**
   * The size of the active segment without keys that were carried over. If those counted, keys larger than a segment
   * would fill each segment from the start, and would be written again with every commit.
   */
  #filled = 0;
  #nextSegment: number;
  #nextRecord: number;
  /** The first record that may not be on the disk. */
  #undurable: number;
  /** The last written entry. */
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

  /** The size of all segments. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Segments before this one are deleted or about to be. */
  get oldest(): number {
    return this.#oldest;
  }

  /** The number of the active segment; undefined if there is none. */
  get active(): number | undefined {
    return this.#active?.number;
  }

  /**
   * Writes all of the records or none, in a new segment if one is due.
   * @throws ShortageError; after any other error the content of the disk is unknown
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

  /** Commits the written part: readers may have it. */
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
    // Before anybody is told: otherwise a kill now would leave a confirmed end that looks like an unconfirmed one.
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
      // From the first segment on, there is a mark.
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

  /** From now on, segments before `oldest` do not count. */
  forget(oldest: number): void {
    this.#oldest = oldest;
  }

  /** Records on the disk which segments are forgotten, in the one file that needs no space for it. */
  async syncMark(): Promise<void> {
    this.#writeMark();
    try {
      await this.#mark.sync();
    } catch (error) {
      // The first mark needs space. Without it, more is kept than necessary.
      if (!isNoSpace(error)) throw error;
    }
  }

  /** Deletes the forgotten segments. */
  async deleteForgotten(): Promise<void> {
    while (this.#segments.length > 0 && this.#segments[0]!.number < this.#oldest) {
      const { number, size } = this.#segments.shift()!;
      if (number === this.#active?.number) {
        await this.#active.close();
        this.#active = undefined;
      }
      this.#presence.removed(segmentName(number));
      await unlink(join(this.#path, segmentName(number)));
      // One at a time, so that a power cut leaves no gap between segments.
      await this.#folder.sync();
      this.#bytes -= size;
    }
  }

  /** Forgets and deletes all segments, for a disk so full that no new one can be begun first. */
  async deleteAll(): Promise<void> {
    await this.sync();
    this.forget(this.#nextSegment);
    await this.syncMark();
    await this.deleteForgotten();
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#active?.close(), this.#mark.close(), this.#folder.close()]);
  }

  /** @throws MillraceError MILLRACE_WAL_FAILED if somebody has removed or replaced files of the log */
  async checkPresence(): Promise<void> {
    await this.#presence.check();
  }

  #writeMark(): void {
    const last = this.#segments.at(-1);
    this.#mark.write({
      // Without segments, everything before the next one is forgotten.
      segment: last?.number ?? this.#nextSegment - 1,
      offset: this.#active?.durable ?? last?.size ?? 0,
      oldest: this.#oldest,
      nextRecord: this.#nextRecord,
      nextEntry: this.#lastEntry + 1,
    });
  }
}
