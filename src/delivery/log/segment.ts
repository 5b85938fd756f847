import { unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage } from '../../errors.ts';
import { isShortage } from './faults.ts';
import { openFile } from './files.ts';
import { encodeHeader, HEADER_BYTES, segmentName, type Header } from './format.ts';
import type { Place } from './scanner.ts';

/** The bytes between two places that are noted for readers as the beginning of an entry. */
const PLACES_APART = 1024 * 1024;

/** No space or file descriptor for a write, of which nothing was written. Waiting helps. */
export class ShortageError extends Error {
  override readonly name = 'ShortageError';

  constructor(cause: unknown) {
    super(errorMessage(cause), { cause });
  }
}

/** Ignores a shortage. @throws every other error */
export function onShortage(error: unknown): void {
  if (!(error instanceof ShortageError)) throw error;
}

/** The facts known about one segment. */
export interface Segment {
  readonly number: number;
  readonly seed: number;
  /** The number of the first entry in it or after it. */
  readonly firstEntry: number;
  /** The last entry in it or before it. */
  readonly lastEntry: number;
  readonly size: number;
  /** The end of the readable part: everything before it is committed. */
  readonly readable: number;
  readonly places: readonly Place[];
}

/** The segment that is being written. */
export class ActiveSegment implements Segment {
  readonly number: number;
  readonly seed: number;
  readonly firstEntry: number;
  readonly places: Place[];
  lastEntry: number;
  size = HEADER_BYTES;
  readable = HEADER_BYTES;
  /** Everything before this offset is on the disk. */
  durable = HEADER_BYTES;
  readonly ino: bigint;
  readonly #file: FileHandle;

  private constructor(file: FileHandle, ino: bigint, header: Header, seed: number) {
    this.#file = file;
    this.ino = ino;
    this.number = header.segment;
    this.seed = seed;
    this.firstEntry = header.firstEntry;
    this.lastEntry = header.firstEntry - 1;
    this.places = [{ record: header.firstRecord, entry: header.firstEntry, offset: HEADER_BYTES }];
  }

  /** Begins a segment; its header and its name are on the disk when this resolves. @throws ShortageError */
  static async create(path: string, folder: FileHandle, header: Header): Promise<ActiveSegment> {
    const name = join(path, segmentName(header.segment));
    const bytes = encodeHeader(header);
    const file = await openFile(name, 'new').catch(waitable);
    try {
      await writeAll(file, [bytes], 0);
    } catch (error) {
      await file.close();
      await unlink(name);
      return waitable(error);
    }
    await file.datasync();
    await folder.sync();
    const { ino } = await file.stat({ bigint: true });
    return new ActiveSegment(file, ino, header, bytes.readUInt32LE(40));
  }

  /** Writes records at the end: all of them, or nothing. @throws ShortageError */
  async write(records: readonly Buffer[], bytes: number): Promise<void> {
    try {
      await writeAll(this.#file, records, this.size);
    } catch (error) {
      await this.#file.truncate(this.size);
      return waitable(error);
    }
    this.size += bytes;
  }

  /** Notes where an entry begins, for readers that begin in the middle. */
  note(place: Place): void {
    if (place.offset - this.places.at(-1)!.offset >= PLACES_APART) this.places.push(place);
  }

  /** Makes the written part readable; its last entry is `lastEntry`. */
  commit(lastEntry: number): void {
    this.readable = this.size;
    this.lastEntry = lastEntry;
  }

  /** Resolves when all that is written is on the disk. */
  async sync(): Promise<void> {
    if (this.durable === this.size) return;
    await this.#file.datasync();
    this.durable = this.size;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

export function waitable(error: unknown): never {
  throw isShortage(error) ? new ShortageError(error) : error;
}

async function writeAll(file: FileHandle, buffers: readonly Buffer[], position: number): Promise<void> {
  let rest = [...buffers];
  let at = position;
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, at);
    at += bytesWritten;
    let written = bytesWritten;
    let whole = 0;
    while (whole < rest.length && written >= rest[whole]!.length) written -= rest[whole++]!.length;
    rest = rest.slice(whole);
    if (rest.length > 0 && written > 0) rest[0] = rest[0]!.subarray(written);
  }
}
