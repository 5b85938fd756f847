import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { errorCode } from './faults.ts';
import { openFile } from './files.ts';
import { u48 } from '../../message/u48.ts';
import { readAt } from './scanner.ts';

export const MARK_FILE = 'mark';
const BYTES = 36;
const MAGIC = 0x314b524d;

/** How far a log is known to be on the disk. Anything missing before that point is damage. */
export interface Mark {
  readonly segment: number;
  readonly offset: number;
  /** Segments before this one have been deleted. */
  readonly oldest: number;
  /** The next numbers, for a log that had to delete all its segments because its disk was full. */
  readonly nextRecord: number;
  readonly nextEntry: number;
}

/**
 * A file that is written after each commit and not synced: it may lag behind the disk, and is never ahead of it.
 * Without it, a log that lost its end would look like one whose last commit was cut short by a crash.
 */
export class MarkFile {
  readonly #file: FileHandle;
  #next: Mark | undefined;
  #writing: Promise<void> | undefined;
  #failure: unknown;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(path: string): Promise<MarkFile> {
    // Not truncated: the old mark stays true until it is overwritten.
    return new MarkFile(await openFile(join(path, MARK_FILE), 'create'));
  }

  /** Writes the mark soon. If that fails, the old mark stays: less is known, and no harm is done. */
  write(mark: Mark): void {
    this.#next = mark;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when the system has taken the last mark, or has failed to. */
  async written(): Promise<void> {
    await this.#writing;
  }

  /** Resolves when the last mark is on the disk. */
  async sync(): Promise<void> {
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#file.datasync();
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      const mark = this.#next;
      this.#next = undefined;
      try {
        await this.#file.write(encode(mark), 0, BYTES, 0);
        this.#failure = undefined;
      } catch (error) {
        this.#failure = error;
      }
    }
  }
}

/** The mark of a log; undefined if it is missing or incomplete. */
export async function readMark(path: string): Promise<Mark | undefined> {
  const buffer = await readBytes(join(path, MARK_FILE));
  if (buffer.length < BYTES || buffer.readUInt32LE(0) !== crc32(buffer.subarray(4, BYTES), MAGIC)) {
    return undefined;
  }
  const [segment, offset, oldest, nextRecord, nextEntry] = [4, 10, 16, 22, 28].map((at) =>
    u48.read(buffer, at),
  );
  return {
    segment: segment!,
    offset: offset!,
    oldest: oldest!,
    nextRecord: nextRecord!,
    nextEntry: nextEntry!,
  };
}

async function readBytes(name: string): Promise<Buffer> {
  const file = await openFile(name, 'read').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return Buffer.alloc(0);
  try {
    return await readAt(file, 0, BYTES);
  } finally {
    await file.close();
  }
}

function encode({ segment, offset, oldest, nextRecord, nextEntry }: Mark): Buffer {
  const buffer = Buffer.alloc(BYTES);
  [segment, offset, oldest, nextRecord, nextEntry].forEach((value, index) =>
    u48.write(buffer, value, 4 + index * u48.bytes),
  );
  buffer.writeUInt32LE(crc32(buffer.subarray(4), MAGIC), 0);
  return buffer;
}
