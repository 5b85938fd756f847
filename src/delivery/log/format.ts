import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { u48 } from '../../message/u48.ts';

/**
 * The bytes of a segment: a header, then records. All numbers are little-endian; `u48` is six bytes, which is more
 * records than a log can see and exact in a JavaScript number.
 *
 *     header  "MILLWAL" · u8 version · u48 segment · u48 first record · u48 first entry · u48 oldest segment ·
 *             8 random bytes · u32 CRC of all before it
 *     record  u32 CRC of all after it · u32 length of all after it · u48 number · u32 pending · u8 type · content
 *
 * The CRC of a record begins from that of its segment's header, which is random: a record is valid only in its own
 * segment, and nobody can send a payload that looks like a record. `pending` is the number of records directly before
 * it that were not known to be on the disk when it was written: it tells damage from a commit that a power cut tore.
 *
 * Entries of version 3 hold their batches in the form of wire-format.ts, with a tag for each part; earlier versions use
 * the form of wire-untagged.ts. A log with a segment of version 2 or 3 has a mark. Segments of version 1 are read too;
 * their log may lack one.
 */
export const VERSION = 3;
const VERSIONS = [1, 2, VERSION];
const MAGIC = Buffer.from('MILLWAL');
export const HEADER_BYTES = 44;
export const FRAME_BYTES = 19;
/** Where a record's length begins to count. */
const LENGTH_FROM = 8;

export const recordTypes = { entry: 1, acks: 2, reclaimed: 3 } as const;
export type RecordType = (typeof recordTypes)[keyof typeof recordTypes];

export interface Header {
  readonly segment: number;
  readonly firstRecord: number;
  readonly firstEntry: number;
  /** Segments before this one had been deleted when this one was begun. */
  readonly oldest: number;
}

export interface RecordFrame {
  readonly number: number;
  readonly pending: number;
  readonly type: number;
  /** The length of the whole record. */
  readonly length: number;
}

export function encodeHeader(header: Header): Buffer {
  const buffer = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(buffer);
  buffer[7] = VERSION;
  u48.write(buffer, header.segment, 8);
  u48.write(buffer, header.firstRecord, 14);
  u48.write(buffer, header.firstEntry, 20);
  u48.write(buffer, header.oldest, 26);
  randomBytes(8).copy(buffer, 32);
  buffer.writeUInt32LE(crc32(buffer.subarray(0, 40)), 40);
  return buffer;
}

/** A header as it was read. */
export interface ReadHeader {
  readonly header: Header;
  /** The seed of the CRCs of its segment's records. */
  readonly seed: number;
  /** Whether its log has a mark. */
  readonly hasMark: boolean;
}

/** Reads the first bytes of a segment: a header with the seed of its records' CRCs, another version's, or none. */
export function decodeHeader(buffer: Buffer): ReadHeader | { readonly otherVersion: number } | undefined {
  if (buffer.length < MAGIC.length + 1 || !buffer.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const version = buffer[7]!;
  if (!VERSIONS.includes(version)) return { otherVersion: version };
  if (buffer.length < HEADER_BYTES) return undefined;
  const seed = buffer.readUInt32LE(40);
  if (crc32(buffer.subarray(0, 40)) !== seed) return undefined;
  const header = {
    segment: u48.read(buffer, 8),
    firstRecord: u48.read(buffer, 14),
    firstEntry: u48.read(buffer, 20),
    oldest: u48.read(buffer, 26),
  };
  return { header, seed, hasMark: version > 1 };
}

/** The possible seeds of the CRCs of records after a damaged header. */
export function possibleSeeds(header: Buffer): number[] {
  return header.length < HEADER_BYTES ? [] : [header.readUInt32LE(40), crc32(header.subarray(0, 40))];
}

/** Completes a record whose content is in `record` from `FRAME_BYTES` on. */
export function sealRecord(
  record: Buffer,
  frame: Pick<RecordFrame, 'number' | 'pending'> & { readonly type: RecordType },
  seed: number,
): void {
  record.writeUInt32LE(record.length - LENGTH_FROM, 4);
  u48.write(record, frame.number, 8);
  record.writeUInt32LE(frame.pending, 14);
  record[18] = frame.type;
  record.writeUInt32LE(crc32(record.subarray(4), seed), 0);
}

/** Reads a record's frame without checking its CRC; `at + FRAME_BYTES` must be inside `buffer`. */
export function readFrame(buffer: Buffer, at: number): RecordFrame {
  return {
    number: u48.read(buffer, at + 8),
    pending: buffer.readUInt32LE(at + 14),
    type: buffer[at + 18]!,
    length: buffer.readUInt32LE(at + 4) + LENGTH_FROM,
  };
}

export function isIntact(record: Buffer, seed: number): boolean {
  return crc32(record.subarray(4), seed) === record.readUInt32LE(0);
}

/** A run of numbers: the first, and how many. */
export type Range = readonly [first: number, count: number];

const RANGE_BYTES = u48.bytes + 4;

/** A record, not yet sealed, that says which entries are acknowledged. */
export function encodeAcks(numbers: readonly number[]): Buffer {
  const ranges: [number, number][] = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[0] + last[1] === number) last[1]++;
    else ranges.push([number, 1]);
  }
  const record = Buffer.alloc(FRAME_BYTES + ranges.length * RANGE_BYTES);
  ranges.forEach(([first, count], index) => {
    const at = u48.write(record, first, FRAME_BYTES + index * RANGE_BYTES);
    record.writeUInt32LE(count, at);
  });
  return record;
}

export function decodeAcks(content: Buffer): Range[] {
  return Array.from({ length: Math.floor(content.length / RANGE_BYTES) }, (_, index) => {
    const at = index * RANGE_BYTES;
    return [u48.read(content, at), content.readUInt32LE(at + u48.bytes)] as const;
  });
}

const SEGMENT_NAME = /^\d{20}\.log$/;

export function segmentName(segment: number): string {
  return `${String(segment).padStart(20, '0')}.log`;
}

/** The number in a segment's name; undefined if the file is not a segment. */
export function segmentNumber(name: string): number | undefined {
  return SEGMENT_NAME.test(name) ? Number(name.slice(0, 20)) : undefined;
}
