import { readdir, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../../folders.ts';
import { Contiguous } from '../contiguous.ts';
import { peekEntry } from './entry-codec.ts';
import { damaged, failed, Flaw, otherVersion } from './faults.ts';
import { openFile } from './files.ts';
import { decodeAcks, FRAME_BYTES, HEADER_BYTES, recordTypes, segmentName, segmentNumber } from './format.ts';
import { MARK_FILE, readMark, type Mark } from './mark.ts';
import { OpenMessages } from './open-messages.ts';
import { decodeReclaimed, RememberedKeys } from './remembered-keys.ts';
import {
  findRecord,
  readAt,
  readHeader,
  Scanner,
  VersionFlaw,
  type Place,
  type ScannedRecord,
} from './scanner.ts';
import type { Segment } from './segment.ts';

/** The content of a log from before this start. */
export interface Recovery {
  readonly segments: readonly Segment[];
  readonly nextSegment: number;
  readonly nextRecord: number;
  readonly lastEntry: number;
  readonly acknowledged: Contiguous;
  readonly keys: RememberedKeys;
  /** The number of messages that are not acknowledged. */
  readonly messages: number;
  /** The number of bytes cut off the end, because they had never been committed. */
  readonly cutBytes: number;
  /** Segments before this one have been deleted. */
  readonly oldest: number;
}

/** The numbers of the segments in a folder, ascending. Other files do not belong to the log. */
export async function listSegments(path: string): Promise<number[]> {
  const names = await readdir(path);
  return names.flatMap((name) => segmentNumber(name) ?? []).toSorted((a, b) => a - b);
}

/**
 * Reads a whole log and checks everything in it. Cuts off an end that a crash left unfinished; it was never confirmed
 * to anyone.
 * @throws MillraceError MILLRACE_WAL_DAMAGED, MILLRACE_WAL_VERSION, MILLRACE_WAL_FAILED
 */
export async function recover(path: string): Promise<Recovery> {
  return await new Recovering(path, await markOf(path), true).run();
}

/** Like `recover`, but changes nothing: the log may be open, or on a read-only disk. */
export async function verify(path: string): Promise<Recovery> {
  return await new Recovering(path, await markOf(path), false).run();
}

async function markOf(path: string): Promise<Mark | undefined> {
  return await readMark(path).catch((error: unknown) => {
    throw failed(path, 'read', error);
  });
}

class Recovering {
  readonly #path: string;
  readonly #mark: Mark | undefined;
  readonly #mend: boolean;
  readonly #segments: Segment[] = [];
  readonly #keys = new RememberedKeys();
  readonly #now = Date.now();
  readonly #open = new OpenMessages();
  #acknowledged = new Contiguous(1);
  #lastEntry = 0;
  #nextRecord = 1;
  #oldest = 1;
  #cutBytes = 0;

  /** `mend`: cut off an end that a crash left unfinished. */
  constructor(path: string, mark: Mark | undefined, mend: boolean) {
    this.#path = path;
    this.#mend = mend;
    this.#mark = mark;
    this.#oldest = mark?.oldest ?? 1;
  }

  async run(): Promise<Recovery> {
    const numbers = await listSegments(this.#path);
    for (const [index, number] of numbers.entries()) {
      try {
        if (index > 0 && numbers[index - 1] !== number - 1) throw missing(number - 1);
        await this.#segment(number, index === 0, index === numbers.length - 1);
      } catch (error) {
        if (error instanceof VersionFlaw) {
          throw otherVersion(this.#path, segmentName(number), error.version);
        }
        if (error instanceof Flaw) throw damaged(this.#path, segmentName(number), error);
        throw failed(this.#path, 'read', error);
      }
    }
    this.#checkEnds(numbers);
    this.#forget();
    return {
      segments: this.#segments,
      // Not after one that has just been removed: a gap would look like a loss.
      nextSegment: Math.max(this.#oldest, (this.#segments.at(-1)?.number ?? 0) + 1),
      nextRecord: this.#nextRecord,
      lastEntry: this.#lastEntry,
      acknowledged: this.#acknowledged,
      keys: this.#keys,
      messages: this.#open.total,
      cutBytes: this.#cutBytes,
      oldest: this.#oldest,
    };
  }

  async #segment(number: number, first: boolean, last: boolean): Promise<void> {
    const name = join(this.#path, segmentName(number));
    const file = await openFile(name, last && this.#mend ? 'write' : 'read');
    try {
      const { size } = await file.stat();
      const head = await readHeader(file).catch(async (error: unknown) => {
        if (error instanceof VersionFlaw || !(error instanceof Flaw) || !last) throw error;
        await this.#checkNeverUsed(file, number, size, error);
      });
      if (head === undefined) {
        if (this.#mend) {
          await unlink(name);
          await syncFolder(this.#path);
        }
        this.#cutBytes += size;
        return;
      }
      const { header, seed, hasMark } = head;
      // Checked before the end is cut off: without the mark, nobody can tell how much of the end was acknowledged.
      if (hasMark && this.#mark === undefined) throw damaged(this.#path, MARK_FILE, noMark());
      if (header.segment !== number)
        throw new Flaw(0, `expected segment ${number}, and found ${header.segment}`);
      if (first) {
        this.#nextRecord = header.firstRecord;
        this.#lastEntry = header.firstEntry - 1;
        this.#acknowledged = new Contiguous(header.firstEntry);
      }
      if (header.firstRecord !== this.#nextRecord || header.firstEntry !== this.#lastEntry + 1) {
        throw new Flaw(
          0,
          `expected record ${this.#nextRecord} and entry ${this.#lastEntry + 1} next, and found ` +
            `${header.firstRecord} and ${header.firstEntry}: the end of the segment before is missing`,
        );
      }
      this.#oldest = Math.max(this.#oldest, header.oldest);
      const place = { record: header.firstRecord, entry: header.firstEntry, offset: HEADER_BYTES };
      const end = await this.#records(file, number, seed, place, size, last);
      this.#segments.push({
        number,
        seed,
        firstEntry: header.firstEntry,
        lastEntry: this.#lastEntry,
        size: end,
        readable: end,
        places: [place],
      });
      // Syncs data that a crash left in the system's memory, before anything relies on it.
      if (last && this.#mend) await file.sync();
    } finally {
      await file.close();
    }
  }

  /** @returns where the records end */
  async #records(
    file: FileHandle,
    number: number,
    seed: number,
    from: Place,
    size: number,
    last: boolean,
  ): Promise<number> {
    const scanner = new Scanner(file, seed, from);
    try {
      for (;;) {
        const record = await scanner.next(size);
        if (record === undefined) break;
        this.#take(record, number);
      }
    } catch (error) {
      if (!(error instanceof Flaw) || !last) throw error;
      await this.#checkTorn(file, number, seed, size, scanner.expected, error);
      if (this.#mend) await file.truncate(error.offset);
      this.#cutBytes += size - error.offset;
    }
    this.#nextRecord = scanner.expected;
    return scanner.offset;
  }

  #take({ type, content, offset }: ScannedRecord, segment: number): void {
    if (type === recordTypes.entry) {
      const { number, messages, keys } = peekEntry(content);
      if (number !== this.#lastEntry + 1) {
        throw new Flaw(offset, `expected entry ${this.#lastEntry + 1}, and found ${number}`);
      }
      this.#lastEntry = number;
      this.#open.add(number, messages);
      if (keys !== undefined) this.#keys.add({ ...keys, entry: number }, segment, this.#now);
    } else if (type === recordTypes.acks) {
      for (const range of decodeAcks(content)) {
        this.#acknowledged.add(range[0], range[0] + range[1] - 1);
        for (let number = range[0]; number < range[0] + range[1]; number++) this.#open.delete(number);
      }
    } else {
      const { oldest, groups } = decodeReclaimed(content);
      this.#oldest = Math.max(this.#oldest, oldest);
      for (const group of groups) this.#keys.add(group, segment, this.#now);
    }
  }

  /** A segment without a complete header may be dropped if it was begun and never used. @throws the flaw if it was */
  async #checkNeverUsed(file: FileHandle, number: number, size: number, flaw: Flaw): Promise<void> {
    if (this.#mark !== undefined && this.#mark.segment >= number) throw flaw;
    // Its header is on the disk before its first record is written.
    if (size > HEADER_BYTES) throw flaw;
    const bytes = await readAt(file, 0, size);
    if (size === HEADER_BYTES && bytes.some((byte) => byte !== 0)) throw flaw;
  }

  /**
   * Checks that an end which begins with a flaw may be cut off. It may if it can only be a commit that a crash tore:
   * none of it is known to have been on the disk, and no intact record after it says that the flawed one was there.
   * @throws the flaw otherwise
   */
  async #checkTorn(
    file: FileHandle,
    number: number,
    seed: number,
    size: number,
    expected: number,
    flaw: Flaw,
  ): Promise<void> {
    const mark = this.#mark;
    if (mark !== undefined && mark.segment === number && flaw.offset < mark.offset) throw flaw;
    if (mark !== undefined && mark.segment > number) throw flaw;
    const tail = await readAt(file, flaw.offset, size - flaw.offset);
    for (let from = 1; ;) {
      const found = findRecord(tail, from, [seed], expected + 1);
      if (found === undefined) return;
      if (found.number - found.pending > expected) throw flaw;
      from = found.at + Math.max(found.length, FRAME_BYTES);
    }
  }

  #checkEnds(numbers: readonly number[]): void {
    const [first] = numbers;
    if (first !== undefined && first > this.#oldest) {
      throw damaged(this.#path, segmentName(first - 1), missing(first - 1));
    }
    const mark = this.#mark;
    if (mark === undefined) return;
    const last = this.#segments.at(-1);
    if (last === undefined && mark.oldest > mark.segment) {
      this.#nextRecord = mark.nextRecord;
      this.#lastEntry = mark.nextEntry - 1;
      this.#acknowledged = new Contiguous(mark.nextEntry);
      return;
    }
    if (last === undefined || last.number < mark.segment) {
      throw damaged(this.#path, segmentName(mark.segment), missing(mark.segment));
    }
    if (last.number === mark.segment && last.size < mark.offset) {
      const flaw = new Flaw(last.size, `expected ${mark.offset} bytes, and found the end of the file`);
      throw damaged(this.#path, segmentName(last.number), flaw);
    }
  }

  /** Entries in segments that were to be deleted count as acknowledged, whether or not that could be written. */
  #forget(): void {
    const kept = this.#segments.find(({ number }) => number >= this.#oldest);
    if (kept === undefined) return;
    for (let number = this.#acknowledged.first; number < kept.firstEntry; number++) this.#open.delete(number);
    this.#acknowledged.add(this.#acknowledged.first, kept.firstEntry - 1);
  }
}

function noMark(): Flaw {
  return new Flaw(0, 'expected the mark that says how far the log was written, and found no complete one');
}

function missing(segment: number): Flaw {
  return new Flaw(0, `expected segment ${segment}, and found no such file`);
}
