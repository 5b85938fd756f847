import { ftruncateSync, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { errorCode } from './faults.ts';
import { openFile } from './files.ts';

const CRASH_FILE = 'crashes';

/** A message of the log: its entry, and its place in that from 0. */
export type Position = readonly [entry: number, index: number];

/** Messages that are processed now, and no others in the whole process. */
export interface Trial {
  /** With them all that come before them. */
  readonly together: boolean;
  readonly from: Position;
  readonly to: Position;
  /** How often in a row the process has ended in just this trial. */
  readonly crashes: number;
}

/** What the log of a stream remembers of the ends of its process. */
export interface CrashState {
  /** No end in order has been noted yet. */
  readonly running: boolean;
  /** The first entry that was not delivered when the process started. */
  readonly first: number;
  /** What has been tried to the end since there was progress: nothing, each part alone, and each with those before it. */
  readonly tried: 'nothing' | 'alone' | 'together';
  readonly trial?: Trial | undefined;
  /** What processes the messages: of another one, nothing is known. */
  readonly pipeline: string;
  /** Hashes of messages that end the process, the oldest first. */
  readonly culprits: readonly string[];
  /** Messages that end the process with those before them; they alone are not to blame for others like them. */
  readonly rejected: readonly Position[];
}

/**
 * The file of a log that remembers how its process ended. It is written when a log is opened and closed, and while what was
 * in processing at a crash is tried: never in between. It is not synced: a process that dies leaves what it has written,
 * and of a power cut nothing needs to be known.
 */
export class CrashRecord {
  /** What the process before this one has left; undefined when that is nothing that can be read. */
  readonly before: CrashState | undefined;
  readonly #file: FileHandle;
  #state: CrashState | undefined;

  private constructor(file: FileHandle, before: CrashState | undefined) {
    this.#file = file;
    this.before = before;
  }

  static async open(path: string): Promise<CrashRecord> {
    const file = await openFile(join(path, CRASH_FILE), 'create');
    return new CrashRecord(file, decode(await file.readFile('utf8')));
  }

  /** At once, since the process may die of what it does next. Without space for it less is known, and nothing is wrong. */
  write(state: CrashState): void {
    this.#state = state;
    const bytes = encode(state);
    try {
      writeSync(this.#file.fd, bytes, 0, bytes.length, 0);
      ftruncateSync(this.#file.fd, bytes.length);
    } catch {
      // As said.
    }
  }

  /** The process has ended in order, or is about to. */
  async close(): Promise<void> {
    if (this.#state !== undefined) this.write({ ...this.#state, running: false, trial: undefined });
    await this.#file.close();
  }
}

/** True when the process that had the log open before may have died. It may have it open still. */
export async function hasCrashed(path: string): Promise<boolean> {
  const file = await openFile(join(path, CRASH_FILE), 'read').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return false;
  try {
    return decode(await file.readFile('utf8'))?.running === true;
  } finally {
    await file.close();
  }
}

function encode(state: CrashState): Buffer {
  const text = JSON.stringify(state);
  return Buffer.from(`${crc32(text)} ${text}\n`);
}

/** What is behind the first line is of a longer one before. */
function decode(content: string): CrashState | undefined {
  const [, crc, text] = /^(\d+) (.*)\n/.exec(content) ?? [];
  return text !== undefined && crc32(text) === Number(crc) ? (JSON.parse(text) as CrashState) : undefined;
}
