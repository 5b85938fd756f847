import type { Metadata } from '../message/batch.ts';
import { errorMessage } from '../errors.ts';
import type { Ext } from '../message/metadata.ts';

/** A dead letter, or a message of a log, read from a line of a file. */
export interface Letter {
  readonly payload: Buffer;
  /** Whether the payload came as a binary message, or can only be binary. */
  readonly binary: boolean;
  readonly metadata: Metadata;
  /** The code of its error; undefined if the line has none. */
  readonly code: string | undefined;
  readonly stage: string | undefined;
}

const EXPECTED =
  'expected an object with payload, encoding and metadata, as error_output and `millrace wal --export --json` write them';

/** @returns the letter of a line, or a description of its mistake */
export function readLetter(line: Buffer): Letter | string {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
  } catch (error) {
    return `not a dead letter: ${errorMessage(error)}; ${EXPECTED}`;
  }
  if (!isObject(value)) return `not a dead letter; ${EXPECTED}`;
  const { payload, encoding, metadata, error } = value;
  if (typeof payload !== 'string') return `payload is not a string; ${EXPECTED}`;
  const bytes = bytesOf(payload, encoding);
  if (typeof bytes === 'string') return bytes;
  const about = metadataOf(metadata);
  if (typeof about === 'string') return about;
  const { code, stage } = isObject(error) ? error : {};
  return {
    payload: bytes,
    binary: encoding === 'base64' || about.ext['message_type'] === 'binary',
    metadata: about,
    code: typeof code === 'string' ? code : undefined,
    stage: typeof stage === 'string' ? stage : undefined,
  };
}

function bytesOf(payload: string, encoding: unknown): Buffer | string {
  if (encoding === 'utf8') {
    // Half a surrogate pair has no bytes: encoding it would make another message.
    return payload.isWellFormed() ? Buffer.from(payload) : 'payload is not text that UTF-8 can hold';
  }
  if (encoding !== 'base64') return 'encoding is not known; expected utf8 or base64';
  const bytes = Buffer.from(payload, 'base64');
  // The decoder skips characters that it does not know.
  return bytes.toString('base64') === payload ? bytes : 'payload is not base64, and encoding says so';
}

function metadataOf(metadata: unknown): Metadata | string {
  if (!isObject(metadata)) return `metadata is missing; ${EXPECTED}`;
  const { __meta_source: source, __meta_ingest_time: time, __meta_ext: ext } = metadata;
  if (typeof source !== 'string') return 'metadata.__meta_source is not a string';
  const ingestTime = microsOf(time);
  if (ingestTime === undefined) return `metadata.__meta_ingest_time ${NO_TIME}`;
  if (!isExt(ext)) return 'metadata.__meta_ext is not an object with strings, numbers and lists of strings';
  const own = ownColumns(metadata);
  return typeof own === 'string' ? own : { source, ingestTime, ext, ...own };
}

const NO_TIME = 'is not a time; expected one like 2026-11-24T15:46:47.652194Z';

function ownColumns(
  metadata: Readonly<Record<string, unknown>>,
): Omit<Metadata, 'source' | 'ingestTime' | 'ext'> | string {
  const { __meta_key: key, __meta_partition: partition } = metadata;
  const { __meta_offset: offset, __meta_event_time: time } = metadata;
  if (key !== undefined && typeof key !== 'string') return 'metadata.__meta_key is not a string';
  if (partition !== undefined && typeof partition !== 'number') {
    return 'metadata.__meta_partition is not a number';
  }
  const digits = typeof offset === 'number' ? String(offset) : offset;
  if (digits !== undefined && !(typeof digits === 'string' && /^-?\d{1,19}$/.test(digits))) {
    return 'metadata.__meta_offset is not a whole number';
  }
  const eventTime = microsOf(time);
  if (time !== undefined && eventTime === undefined) return `metadata.__meta_event_time ${NO_TIME}`;
  return { key, partition, offset: digits === undefined ? undefined : BigInt(digits), eventTime };
}

/** Microseconds since the epoch of a time that `microsToIso` wrote. */
function microsOf(text: unknown): number | undefined {
  if (typeof text !== 'string') return undefined;
  const [, start, fraction = ''] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z$/.exec(text) ?? [];
  const milliseconds = Date.parse(`${start}Z`);
  if (Number.isNaN(milliseconds)) return undefined;
  return milliseconds * 1000 + Number(fraction.padEnd(6, '0'));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isExt(value: unknown): value is Ext {
  const isText = (each: unknown): boolean => typeof each === 'string';
  return (
    isObject(value) &&
    Object.values(value).every(
      (each) => isText(each) || Number.isFinite(each) || (Array.isArray(each) && each.every(isText)),
    )
  );
}
