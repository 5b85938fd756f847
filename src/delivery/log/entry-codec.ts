import { MillraceError, type Rejection } from '../../errors.ts';
import type { Keys } from '../../message/delivery.ts';
import { WireReader } from '../../message/wire-bytes.ts';
import { measure, readBatch, WireWriter } from '../../message/wire-format.ts';
import type { Entry, StoredEntry } from './entry.ts';
import { u48 } from '../../message/u48.ts';
import { FRAME_BYTES } from './format.ts';

/**
 * The content of an entry's record; `text` and `batch` are in wire-format.ts:
 *
 *     u48 number · u32 messages · text keys · batch · text rejections · [batch rejected]
 */
const HEAD_BYTES = u48.bytes + 4;
const NOTHING = Buffer.alloc(0);

/** A record with the entry as its content, not yet sealed. */
export function encodeEntry(entry: Entry, number: number): Buffer {
  const { batch, rejected, keys } = entry;
  const keyText = keys === undefined ? NOTHING : encodeKeys(keys);
  const rejections = rejected === undefined ? NOTHING : encodeRejections(rejected.rejections);
  const good = measure(batch);
  const bad = rejected === undefined ? undefined : measure(rejected.batch);
  const size = HEAD_BYTES + 4 + keyText.length + good.bytes + 4 + rejections.length + (bad?.bytes ?? 0);
  const writer = new WireWriter(Buffer.allocUnsafe(FRAME_BYTES + size), FRAME_BYTES);
  writer.u48(number);
  writer.u32(messagesOf(entry));
  writer.text(keyText);
  writer.batch(good);
  writer.text(rejections);
  if (bad !== undefined) writer.batch(bad);
  return writer.buffer;
}

function messagesOf({ batch, rejected }: Entry): number {
  return batch.length + (rejected?.rejections.length ?? 0);
}

export function entryNumber(content: Buffer): number {
  return u48.read(content, 0);
}

/** Reads what recovery needs from an entry, without decoding its messages. */
export function peekEntry(content: Buffer): { number: number; messages: number; keys: Keys | undefined } {
  const reader = new WireReader(content);
  const number = reader.u48();
  const messages = reader.u32();
  const keys = reader.text();
  return { number, messages, keys: keys.length === 0 ? undefined : decodeKeys(keys) };
}

/**
 * @throws MillraceError MILLRACE_WAL_VERSION for a batch that a newer version wrote
 * @throws RangeError, SyntaxError for content that `encodeEntry` did not make
 */
export function decodeEntry(content: Buffer): StoredEntry {
  const reader = new WireReader(content);
  const number = reader.u48();
  reader.u32();
  const keys = reader.text();
  const batch = readBatch(reader);
  const rejections = reader.text();
  return {
    number,
    batch,
    keys: keys.length === 0 ? undefined : decodeKeys(keys),
    rejected:
      rejections.length === 0
        ? undefined
        : { rejections: decodeRejections(rejections), batch: readBatch(reader) },
  };
}

export function encodeKeys({ space, keys, expires, max }: Keys): Buffer {
  return Buffer.from(JSON.stringify([space, keys, expires, max]));
}

export function decodeKeys(text: Buffer): Keys {
  const [space, keys, expires, max] = JSON.parse(text.toString()) as [string, string[], number, number];
  return { space, keys, expires, max };
}

type StoredRejection = readonly [
  index: number,
  code: string,
  message: string,
  fatal: boolean,
  errorField: string | null,
  field: string | null,
  /** Missing in logs of an earlier version. */
  told?: string,
];

function encodeRejections(rejections: readonly Rejection[]): Buffer {
  return Buffer.from(
    JSON.stringify(
      rejections.map(({ index, error, field }): StoredRejection => {
        const { code, message, fatal, told } = error;
        return [index, code, message, fatal, error.field ?? null, field ?? null, told];
      }),
    ),
  );
}

function decodeRejections(text: Buffer): Rejection[] {
  const stored = JSON.parse(text.toString()) as StoredRejection[];
  return stored.map(([index, code, message, fatal, errorField, field, told]) => ({
    index,
    error: new MillraceError({ code, told }, message, {
      fatal,
      ...(errorField !== null && { field: errorField }),
    }),
    ...(field !== null && { field }),
  }));
}
