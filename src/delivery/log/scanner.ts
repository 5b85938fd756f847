import type { FileHandle } from 'node:fs/promises';
import { Flaw } from './faults.ts';
import { openFile } from './files.ts';
import {
  decodeHeader,
  FRAME_BYTES,
  HEADER_BYTES,
  isIntact,
  readFrame,
  recordTypes,
  type ReadHeader,
  type RecordFrame,
} from './format.ts';
import { PartCrcs } from './part-crc.ts';

/** The number of bytes read at a time, unless a record is larger. */
const CHUNK = 256 * 1024;

/** One record of a segment, its CRC checked. */
export interface ScannedRecord extends RecordFrame {
  readonly content: Buffer;
  readonly offset: number;
  readonly end: number;
}

/** Another version's header. */
export class VersionFlaw extends Flaw {
  readonly version: number;

  constructor(version: number) {
    super(0, `version ${version}`);
    this.version = version;
  }
}

/** Reads the header of a segment. @throws Flaw, VersionFlaw */
export async function readHeader(file: FileHandle): Promise<ReadHeader> {
  const found = decodeHeader(await readAt(file, 0, HEADER_BYTES));
  if (found === undefined) throw new Flaw(0, 'expected the header of a segment, and found no complete one');
  if ('otherVersion' in found) throw new VersionFlaw(found.otherVersion);
  return found;
}

/** A place in a segment where reading can begin. */
export interface Place {
  readonly record: number;
  readonly entry: number;
  readonly offset: number;
}

/** Reads the records of one segment in turn, with memory for one chunk or one record. */
export class Scanner {
  readonly #file: FileHandle;
  readonly #seed: number;
  #expected: number;
  /** The bytes read, from `#offset` of the file on. Never overwritten: records are views of it. */
  #buffer = Buffer.alloc(0);
  #offset: number;
  #at = 0;

  constructor(file: FileHandle, seed: number, from: Pick<Place, 'record' | 'offset'>) {
    this.#file = file;
    this.#seed = seed;
    this.#expected = from.record;
    this.#offset = from.offset;
  }

  static async open(file: string, seed: number, from: Pick<Place, 'record' | 'offset'>): Promise<Scanner> {
    return new Scanner(await openFile(file, 'read'), seed, from);
  }

  /** Where the next record begins. */
  get offset(): number {
    return this.#offset + this.#at;
  }

  /** The number that the next record must have. */
  get expected(): number {
    return this.#expected;
  }

  /** The next record before `limit`, an offset in the file; undefined when it is reached. @throws Flaw */
  async next(limit: number): Promise<ScannedRecord | undefined> {
    const { offset } = this;
    if (offset >= limit) return undefined;
    const what = `expected record ${this.#expected}`;
    const room = limit - offset;
    if (room < FRAME_BYTES) throw new Flaw(offset, `${what}, and found the end of the file`);
    await this.#need(FRAME_BYTES, room);
    const frame = readFrame(this.#buffer, this.#at);
    const { length, number, type } = frame;
    if (length < FRAME_BYTES) throw new Flaw(offset, `${what}, and found an impossible length`);
    if (length > room) throw new Flaw(offset, `${what}, and found the end of the file within it`);
    await this.#need(length, room);
    const record = this.#buffer.subarray(this.#at, this.#at + length);
    if (!isIntact(record, this.#seed)) {
      throw new Flaw(offset, `${what}, and found one whose checksum does not match`);
    }
    if (number !== this.#expected) throw new Flaw(offset, `${what}, and found record ${number}`);
    if (type < recordTypes.entry || type > recordTypes.reclaimed) {
      throw new Flaw(offset, `${what}, and found one of the unknown type ${type}`);
    }
    this.#expected++;
    this.#at += length;
    return { ...frame, content: record.subarray(FRAME_BYTES), offset, end: offset + length };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Makes `count` bytes available, of the `room` that the file has. */
  async #need(count: number, room: number): Promise<void> {
    const rest = this.#buffer.subarray(this.#at);
    if (rest.length >= count) return;
    const size = Math.min(room, Math.max(count, CHUNK));
    const buffer = Buffer.allocUnsafeSlow(size);
    rest.copy(buffer);
    this.#offset += this.#at;
    this.#at = 0;
    const read = await readInto(this.#file, buffer.subarray(rest.length), this.#offset + rest.length);
    this.#buffer = buffer.subarray(0, rest.length + read);
    if (this.#buffer.length < count) {
      throw new Flaw(this.#offset, `expected record ${this.#expected}, and found the end of the file`);
    }
  }
}

/** The file's bytes from `position` on, at most `count`. */
export async function readAt(file: FileHandle, position: number, count: number): Promise<Buffer> {
  const buffer = Buffer.alloc(count);
  return buffer.subarray(0, await readInto(file, buffer, position));
}

async function readInto(file: FileHandle, buffer: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** The first intact record in `bytes` at or after `from` whose number is at least `least`, if given. */
export function findRecord(
  bytes: Buffer,
  from: number,
  seeds: readonly number[],
  least: number | undefined,
): (RecordFrame & { readonly at: number; readonly seed: number }) | undefined {
  // A record is at least as long as its frame, so no number can be further away than this.
  const most = least === undefined ? Infinity : least + Math.ceil(bytes.length / FRAME_BYTES) + 1;
  const crcs = new PartCrcs(bytes, from);
  for (let at = from; at + FRAME_BYTES <= bytes.length; at++) {
    const frame = readFrame(bytes, at);
    if (frame.length < FRAME_BYTES || at + frame.length > bytes.length) continue;
    if (frame.number < (least ?? 1) || frame.number > most) continue;
    const crc = bytes.readUInt32LE(at);
    const seed = seeds.find((each) => crcs.of(at + 4, at + frame.length, each) === crc);
    if (seed !== undefined) return { ...frame, at, seed };
  }
  return undefined;
}
