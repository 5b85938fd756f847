import { wireErrors } from '../../message/wire-errors.ts';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { MillraceError } from '../../errors.ts';
import type { StoredEntry } from './entry.ts';
import { decodeEntry, entryNumber } from './entry-codec.ts';
import { errorCode, logErrors } from './faults.ts';
import { decodeAcks, recordTypes, segmentName } from './format.ts';
import { isLocked, LOCK_FILE } from './lock.ts';
import { listSegments, verify } from './recovery.ts';
import { decodeReclaimed, RememberedKeys } from './remembered-keys.ts';
import { salvage } from './salvage.ts';

/** The readable content of a log. */
export interface Inspection {
  readonly inUse: boolean;
  readonly segments: number;
  /** On the disk. */
  readonly bytes: number;
  /** The number of batches that are not acknowledged. */
  readonly entries: number;
  readonly messages: number;
  /** How many of `messages` a codec has rejected. */
  readonly rejected: number;
  /** When the oldest of `messages` arrived, in microseconds since the epoch. */
  readonly oldest: number | undefined;
  /** The number of keys that `dedupe` remembers. */
  readonly keys: number;
  /** Why a stream would refuse the log. */
  readonly damage: MillraceError | undefined;
  /** The number of bytes at the end that were never committed. */
  readonly cutBytes: number;
  /** Reads the counted entries once more. */
  readonly contents: () => AsyncGenerator<StoredEntry>;
}

interface Counted {
  readonly messages: number;
  readonly rejected: number;
  readonly oldest: number;
}

/**
 * Reads a log without its lock and without changing anything.
 * @throws MillraceError MILLRACE_WAL_FAILED if there is no log, MILLRACE_WAL_VERSION
 */
export async function inspect(path: string): Promise<Inspection> {
  const numbers = await segmentsOf(path);
  // All at once: while the log is in use, files may be deleted in between.
  const sizes = await Promise.all(numbers.map((number) => sizeOf(join(path, segmentName(number)))));
  const inUse = await isLocked(path);
  const { damage, cutBytes } = await check(path);
  const { open, keys } = await count(path);
  const all = [...open.values()];
  const sum = (of: (counted: Counted) => number): number => all.reduce((total, each) => total + of(each), 0);
  const oldest = all.reduce((least, each) => Math.min(least, each.oldest), Infinity);
  return {
    inUse,
    segments: numbers.length,
    bytes: sizes.reduce((total, size) => total + size, 0),
    entries: open.size,
    messages: sum(({ messages }) => messages),
    rejected: sum(({ rejected }) => rejected),
    oldest: oldest === Infinity ? undefined : oldest,
    keys: keys.list(Date.now()).reduce((total, group) => total + group.keys.length, 0),
    damage,
    cutBytes,
    contents: async function* () {
      for await (const { record } of salvage(path)) {
        if (record.type !== recordTypes.entry || !open.has(entryNumber(record.content))) continue;
        yield decodeEntry(record.content);
      }
    },
  };
}

async function segmentsOf(path: string): Promise<number[]> {
  const absent = (why: string): MillraceError =>
    new MillraceError(logErrors.MILLRACE_WAL_FAILED, `${path} is not a log: ${why}`, { fatal: true });
  let numbers: number[];
  try {
    numbers = await listSegments(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') throw absent('the folder does not exist');
    if (errorCode(error) === 'ENOTDIR') throw absent('it is a file; expected the folder that `path` names');
    throw error;
  }
  if (numbers.length > 0) return numbers;
  const lock = await lstat(join(path, LOCK_FILE)).catch(() => undefined);
  if (lock === undefined) throw absent('it holds no file of a log');
  return numbers;
}

/** Whether a stream would accept the log. */
async function check(path: string): Promise<{ damage: MillraceError | undefined; cutBytes: number }> {
  for (let tries = 1; ; tries++) {
    try {
      const { cutBytes } = await verify(path);
      return { damage: undefined, cutBytes };
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code === wireErrors.MILLRACE_WAL_VERSION.code)
        throw error;
      // While the log is in use, files may be deleted during the check.
      if (tries === 3) return { damage: error, cutBytes: 0 };
    }
  }
}

async function count(path: string): Promise<{ open: Map<number, Counted>; keys: RememberedKeys }> {
  const open = new Map<number, Counted>();
  const keys = new RememberedKeys();
  const now = Date.now();
  let oldest = 1;
  const segmentOf = new Map<number, number>();
  for await (const { segment, record } of salvage(path)) {
    if (record.type === recordTypes.entry) {
      const entry = decodeEntry(record.content);
      open.set(entry.number, counted(entry));
      segmentOf.set(entry.number, segment);
      if (entry.keys !== undefined) keys.add({ ...entry.keys, entry: entry.number }, segment, now);
    } else if (record.type === recordTypes.acks) {
      for (const [first, many] of decodeAcks(record.content)) {
        for (let number = first; number < first + many; number++) open.delete(number);
      }
    } else {
      const reclaimed = decodeReclaimed(record.content);
      oldest = Math.max(oldest, reclaimed.oldest);
      for (const group of reclaimed.groups) keys.add(group, segment, now);
    }
  }
  for (const number of open.keys()) if (segmentOf.get(number)! < oldest) open.delete(number);
  return { open, keys };
}

function counted({ batch, rejected }: StoredEntry): Counted {
  const rejections = rejected?.rejections.length ?? 0;
  const times = [...batch.runs, ...(rejected?.batch.runs ?? [])].map(({ time }) => time);
  return {
    messages: batch.length + rejections,
    rejected: rejections,
    oldest: times.reduce((least, time) => Math.min(least, time), Infinity),
  };
}

async function sizeOf(file: string): Promise<number> {
  const found = await lstat(file).catch(() => undefined);
  return found?.size ?? 0;
}
