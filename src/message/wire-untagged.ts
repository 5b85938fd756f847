import { Batch, type Format, type Run } from './batch.ts';
import type { WireReader } from './wire-bytes.ts';

/**
 * The format of batches from before each part had a tag, which logs may still hold:
 *
 *     batch  u8 format, and whether it is lines · u32 origins · text of each · u32 runs · each run · u32 messages ·
 *            u32 length of each · payloads; or text lines
 *     run    u32 start · u32 origin · f64 time · f64 sequence · u8 message type, and whether it has a sequence
 */
const formats: readonly Format[] = ['bytes', 'text', 'json'];
const messageTypes = [undefined, 'text', 'binary'] as const;
const LINES = 0x80;
const HAS_SEQUENCE = 4;

/** True if a batch that begins with this byte has that format. */
export function isUntagged(first: number): boolean {
  return formats[first & ~LINES] !== undefined;
}

/** Reads everything after the first byte. @throws RangeError, SyntaxError for other bytes */
export function readUntagged(first: number, reader: WireReader): Batch {
  const format = formats[first & ~LINES]!;
  const origins = reader.many(() => {
    const [source, ext] = JSON.parse(reader.text().toString()) as [string, Record<string, string>];
    return { source, ext };
  });
  const runs = reader.many((): Run => {
    const [start, origin, time, sequence] = [reader.u32(), reader.u32(), reader.f64(), reader.f64()];
    const flags = reader.u8();
    return {
      start,
      origin: origins[origin]!,
      time,
      sequence: (flags & HAS_SEQUENCE) === 0 ? undefined : sequence,
      messageType: messageTypes[flags & 3],
    };
  });
  const length = reader.u32();
  if ((first & LINES) !== 0) return new Batch({ data: reader.text(), length }, { runs, format });
  const lengths = Array.from({ length }, () => reader.u32());
  return new Batch(
    lengths.map((each) => reader.bytes(each)),
    { runs, format },
  );
}
