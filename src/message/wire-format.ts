import { Batch, type Content, type Format, type Origin, type Run } from './batch.ts';
import { NO_COLUMNS, type Ext } from './metadata.ts';
import { decodeRows, encodeRows } from './rows-wire.ts';
import { u48 } from './u48.ts';
import { unknownTag, WireParts, WireReader } from './wire-bytes.ts';
import { readColumns, writeColumns } from './wire-columns.ts';
import { isUntagged, readUntagged } from './wire-untagged.ts';

/**
 * The format of a whole batch, for the log, for a worker and for another process:
 *
 *     batch     u8 version · u8 content · u8 format · u8 flags · u32 messages · u32 origins · text of each ·
 *               u32 runs · each run · the parts that the flags announce · content
 *     text      u32 length · UTF-8
 *     origin    JSON: [source, ext, size or nothing]
 *     run       u32 start · u32 origin · f64 time · f64 sequence · u8 message type, and whether it has a sequence
 *     columns   see wire-columns.ts
 *     places, positions  u32 of each message
 *     sent      u32 messages made of one sent form · u32 bytes, repeated up to the last message · bytes of all
 *     payloads  u32 length of each · bytes of all
 *     lines     u32 length · bytes
 *     rows      u32 length · see rows-wire.ts
 *
 * Each version, content, format, flag and message type has a tag that stands for it for ever. A tag that this version
 * does not know is refused. No version equals a byte with which a batch of wire-untagged.ts begins.
 */
const VERSION = 0x10;
const contents = { payloads: 1, lines: 2, rows: 3 } as const;
const knownContents: ReadonlySet<number> = new Set(Object.values(contents));
const formats: readonly Format[] = ['bytes', 'text', 'json'];
const messageTypes = [undefined, 'text', 'binary'] as const;
const HAS_SEQUENCE = 4;
const flags = {
  columns: 1,
  places: 2,
  /** Each message's position is its own index. */
  own: 4,
  /** The positions equal the places. */
  same: 8,
  /** The positions are listed. */
  positions: 16,
  sent: 32,
} as const;
const ALL_FLAGS = 63;

const HEAD_BYTES = 4 + 4 + 4 + 4;
const RUN_BYTES = 25;
/** Below this, a loop is faster than a call. */
const SMALL = 24;

/** Sessions send many batches; the metadata of each session is made text once. */
const originTexts = new WeakMap<Origin, Buffer>();

/** A batch about to be written. */
export interface Part {
  readonly batch: Batch;
  readonly origins: readonly Buffer[];
  /** The index into `origins` of each run. */
  readonly places: readonly number[];
  readonly flags: number;
  /** The parts announced by the flags, as bytes. */
  readonly more: Buffer | undefined;
  /** The content as bytes, if it is rows. */
  readonly rows: Buffer | undefined;
  readonly bytes: number;
}

function originText(origin: Origin): Buffer {
  let text = originTexts.get(origin);
  if (text === undefined) {
    text = Buffer.from(JSON.stringify([origin.source, origin.ext, origin.size]));
    originTexts.set(origin, text);
  }
  return text;
}

/** The number of bytes of a batch, to allocate memory of the right size once. */
export function measure(batch: Batch): Part {
  const known = new Map<Origin, number>();
  const origins: Buffer[] = [];
  const { set, more } = moreOf(batch);
  let bytes = HEAD_BYTES + batch.runs.length * RUN_BYTES + (more?.length ?? 0);
  const places = batch.runs.map(({ origin }) => {
    let place = known.get(origin);
    if (place === undefined) {
      place = origins.length;
      known.set(origin, place);
      const text = originText(origin);
      origins.push(text);
      bytes += 4 + text.length;
    }
    return place;
  });
  const rows = batch.rows && encodeRows(batch.rows);
  const whole = rows ?? batch.lines;
  bytes += whole === undefined ? batch.length * 4 + batch.bytes : 4 + whole.length;
  return { batch, origins, places, flags: set, more, rows, bytes };
}

/** Most batches have none of these. */
function moreOf(batch: Batch): { set: number; more: Buffer | undefined } {
  const { columns = NO_COLUMNS, places, positions } = batch.parts;
  const sent = batch.parts.sent && batch.sent;
  const parts = new WireParts();
  let set = positions === 'own' ? flags.own : 0;
  if (columns.size > 0) {
    set |= flags.columns;
    writeColumns(parts, columns);
  }
  if (places !== undefined) {
    set |= flags.places;
    parts.numbers(places);
  }
  if (positions !== undefined && positions !== 'own') {
    set |= positions === places ? flags.same : flags.positions;
    if (positions !== places) parts.numbers(positions);
  }
  if (sent !== undefined) {
    set |= flags.sent;
    writeSent(parts, sent);
  }
  return { set, more: (set & ~flags.own) === 0 ? undefined : parts.all() };
}

/** The source of several messages is written once. */
function writeSent(parts: WireParts, sent: readonly Uint8Array[]): void {
  const different = sent.filter((each, index) => each !== sent[index - 1]);
  let index = 0;
  for (const each of different) {
    const start = index;
    while (sent[index] === each) index++;
    parts.u32(index - start);
    parts.u32(each.length);
  }
  for (const each of different) parts.bytes(each);
}

/** Fills memory of the right size. */
export class WireWriter {
  readonly buffer: Buffer;
  #at: number;

  constructor(buffer: Buffer, at: number) {
    this.buffer = buffer;
    this.#at = at;
  }

  u32(value: number): void {
    this.#at = this.buffer.writeUInt32LE(value, this.#at);
  }

  u48(value: number): void {
    this.#at = u48.write(this.buffer, value, this.#at);
  }

  text(text: Uint8Array): void {
    this.u32(text.length);
    this.#bytes(text);
  }

  batch({ batch, origins, places, flags: set, more, rows }: Part): void {
    const whole = rows ?? batch.lines;
    const { buffer } = this;
    buffer[this.#at++] = VERSION;
    buffer[this.#at++] = rows ? contents.rows : whole ? contents.lines : contents.payloads;
    buffer[this.#at++] = formats.indexOf(batch.format);
    buffer[this.#at++] = set;
    this.u32(batch.length);
    this.u32(origins.length);
    for (const text of origins) this.text(text);
    this.u32(batch.runs.length);
    batch.runs.forEach((run, index) => this.#run(run, places[index]!));
    if (more !== undefined) this.#bytes(more);
    if (whole === undefined) this.#payloads(batch.payloads);
    else this.text(whole);
  }

  #run({ start, time, sequence, messageType }: Run, origin: number): void {
    const { buffer } = this;
    buffer.writeUInt32LE(start, this.#at);
    buffer.writeUInt32LE(origin, this.#at + 4);
    buffer.writeDoubleLE(time, this.#at + 8);
    buffer.writeDoubleLE(sequence ?? 0, this.#at + 16);
    buffer[this.#at + 24] = messageTypes.indexOf(messageType) | (sequence === undefined ? 0 : HAS_SEQUENCE);
    this.#at += RUN_BYTES;
  }

  #payloads(payloads: readonly Uint8Array[]): void {
    const { buffer } = this;
    let lengthAt = this.#at;
    let at = lengthAt + payloads.length * 4;
    for (const payload of payloads) {
      const { length } = payload;
      buffer[lengthAt] = length;
      buffer[lengthAt + 1] = length >>> 8;
      buffer[lengthAt + 2] = length >>> 16;
      buffer[lengthAt + 3] = length >>> 24;
      lengthAt += 4;
      if (length < SMALL) for (let index = 0; index < length; index++) buffer[at + index] = payload[index]!;
      else buffer.set(payload, at);
      at += length;
    }
    this.#at = at;
  }

  #bytes(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}

/**
 * Reads what `WireWriter.batch` wrote. The batch consists of views of the bytes.
 * @throws MillraceError MILLRACE_WAL_VERSION for a tag that this version does not know
 * @throws RangeError, SyntaxError for other bytes
 */
export function readBatch(reader: WireReader): Batch {
  const version = reader.u8();
  if (isUntagged(version)) return readUntagged(version, reader);
  if (version !== VERSION) throw unknownTag('a batch', version);
  const content = reader.u8();
  if (!knownContents.has(content)) throw unknownTag('the content of a batch', content);
  const format = formatOf(reader.u8());
  const set = reader.u8();
  if (set > ALL_FLAGS) throw unknownTag('a batch', set);
  const length = reader.u32();
  const origins = reader.many(() => {
    const [source, ext, size] = JSON.parse(reader.text().toString()) as [string, Ext, number | null];
    return size === null ? { source, ext } : { source, ext, size };
  });
  const runs = reader.many(() => readRun(reader, origins));
  const has = (flag: number): boolean => (set & flag) !== 0;
  const columns = has(flags.columns) ? readColumns(reader, length) : NO_COLUMNS;
  const places = has(flags.places) ? new Uint32Array(reader.copy(4 * length)) : undefined;
  const listed = has(flags.positions) ? new Uint32Array(reader.copy(4 * length)) : undefined;
  const positions = has(flags.own) ? 'own' : has(flags.same) ? places : listed;
  const sent = has(flags.sent) ? readSent(reader, length) : undefined;
  return new Batch(readContent(reader, content, length), { runs, columns, format, places, positions, sent });
}

function readContent(reader: WireReader, content: number, length: number): Content {
  if (content === contents.payloads) return readPayloads(reader, length);
  if (content === contents.lines) return { data: reader.text(), length };
  const rows = decodeRows(reader.text());
  if (rows.length !== length) throw new RangeError('the numbers of rows and messages differ');
  return rows;
}

function formatOf(tag: number): Format {
  const format = formats[tag];
  if (format === undefined) throw unknownTag('the format of a batch', tag);
  return format;
}

function readRun(reader: WireReader, origins: readonly Origin[]): Run {
  const bytes = reader.bytes(RUN_BYTES);
  const tags = bytes[24]!;
  const messageType = messageTypes[tags & ~HAS_SEQUENCE];
  if (tags > (HAS_SEQUENCE | 2) || (tags & 3) === 3) throw unknownTag('a run of messages', tags);
  return {
    start: bytes.readUInt32LE(0),
    origin: origins[bytes.readUInt32LE(4)]!,
    time: bytes.readDoubleLE(8),
    ...((tags & HAS_SEQUENCE) !== 0 && { sequence: bytes.readDoubleLE(16) }),
    ...(messageType !== undefined && { messageType }),
  };
}

function readSent(reader: WireReader, length: number): Uint8Array[] {
  const groups: [messages: number, bytes: number][] = [];
  for (let left = length; left > 0;) {
    const group: [number, number] = [reader.u32(), reader.u32()];
    if (group[0] === 0 || group[0] > left)
      throw new RangeError('the sent forms do not belong to these messages');
    groups.push(group);
    left -= group[0];
  }
  return groups.flatMap(([messages, bytes]) => Array<Uint8Array>(messages).fill(reader.bytes(bytes)));
}

function readPayloads(reader: WireReader, count: number): Uint8Array[] {
  const lengths = reader.bytes(count * 4);
  const payloads: Uint8Array[] = [];
  for (let at = 0; at < lengths.length; at += 4) payloads.push(reader.bytes(lengths.readUInt32LE(at)));
  return payloads;
}

/** A batch as bytes that can be sent to a worker (`postMessage` may transfer their memory) or to another process. */
export function toWire(batch: Batch): Buffer {
  const part = measure(batch);
  const writer = new WireWriter(Buffer.allocUnsafeSlow(part.bytes), 0);
  writer.batch(part);
  return writer.buffer;
}

/** The batch that was passed to `toWire`. @throws as `readBatch` */
export function fromWire(bytes: Uint8Array): Batch {
  const reader = new WireReader(bytes);
  const batch = readBatch(reader);
  reader.end();
  return batch;
}
