import { Batch, type Format, type Origin, type Run } from './batch.ts';
import { u48 } from './u48.ts';

/**
 * How a batch is written:
 *
 *     text   u32 length · UTF-8, JSON
 *     batch  u8 format · u32 origins · text of each · u32 runs · each run · u32 messages · u32 length of each · payloads
 *     run    u32 start · u32 origin · f64 time · f64 sequence · u8 message type, and whether it has a sequence
 *
 * A batch that is lines already is kept as lines: its payloads are one piece, and their lengths are in it.
 */
const formats: readonly Format[] = ['bytes', 'text', 'json'];
const messageTypes = [undefined, 'text', 'binary'] as const;
const LINES = 0x80;
const RUN_BYTES = 25;
const HAS_SEQUENCE = 4;
/** Below this, a loop is faster than a call. */
const SMALL = 24;

/** Sessions send many batches; what is known of each is made text once. */
const originTexts = new WeakMap<Origin, Buffer>();

/** A batch that is about to be written. */
export interface Part {
  readonly batch: Batch;
  readonly origins: readonly Buffer[];
  /** Index into `origins` of each run. */
  readonly places: readonly number[];
  readonly bytes: number;
}

function originText(origin: Origin): Buffer {
  let text = originTexts.get(origin);
  if (text === undefined) {
    text = Buffer.from(JSON.stringify([origin.source, origin.ext]));
    originTexts.set(origin, text);
  }
  return text;
}

/** How many bytes a batch takes, so that one piece of memory of the right size is enough. */
export function measure(batch: Batch): Part {
  const known = new Map<Origin, number>();
  const origins: Buffer[] = [];
  let bytes = 1 + 4 + 4 + 4 + batch.runs.length * RUN_BYTES;
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
  const { lines } = batch;
  bytes += lines === undefined ? batch.length * 4 + batch.bytes : 4 + lines.length;
  return { batch, origins, places, bytes };
}

/** Fills a piece of memory of the right size. */
export class ContentWriter {
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

  text(text: Buffer): void {
    this.u32(text.length);
    this.#bytes(text);
  }

  batch({ batch, origins, places }: Part): void {
    const { lines } = batch;
    this.buffer[this.#at++] = formats.indexOf(batch.format) | (lines === undefined ? 0 : LINES);
    this.u32(origins.length);
    for (const text of origins) this.text(text);
    this.u32(batch.runs.length);
    batch.runs.forEach((run, index) => this.#run(run, places[index]!));
    this.u32(batch.length);
    if (lines === undefined) this.#payloads(batch.payloads);
    else {
      this.u32(lines.length);
      this.#bytes(lines);
    }
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

/** Reads what `ContentWriter` wrote. @throws RangeError, SyntaxError for anything else */
export class ContentReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  u32(): number {
    const value = this.#buffer.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  u48(): number {
    const value = u48.read(this.#buffer, this.#at);
    this.#at += u48.bytes;
    return value;
  }

  text(): Buffer {
    return this.#bytes(this.u32());
  }

  batch(): Batch {
    const kind = this.#bytes(1)[0]!;
    const format = formats[kind & ~LINES]!;
    const origins = this.#many(() => {
      const [source, ext] = JSON.parse(this.text().toString()) as [string, Record<string, string>];
      return { source, ext };
    });
    const runs = this.#many(() => this.#run(origins));
    const length = this.u32();
    const options = { runs, format };
    if ((kind & LINES) !== 0) return new Batch({ data: this.text(), length }, options);
    return new Batch(this.#payloads(length), options);
  }

  #run(origins: readonly Origin[]): Run {
    const buffer = this.#bytes(RUN_BYTES);
    const flags = buffer[24]!;
    const messageType = messageTypes[flags & 3];
    return {
      start: buffer.readUInt32LE(0),
      origin: origins[buffer.readUInt32LE(4)]!,
      time: buffer.readDoubleLE(8),
      ...((flags & HAS_SEQUENCE) !== 0 && { sequence: buffer.readDoubleLE(16) }),
      ...(messageType !== undefined && { messageType }),
    };
  }

  #payloads(count: number): Uint8Array[] {
    const lengths = this.#bytes(count * 4);
    return Array.from({ length: count }, (_, index) => this.#bytes(lengths.readUInt32LE(index * 4)));
  }

  #many<T>(read: () => T): T[] {
    return Array.from({ length: this.u32() }, read);
  }

  #bytes(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#buffer.length) throw new RangeError('the content of the entry is too short');
    const bytes = this.#buffer.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}
