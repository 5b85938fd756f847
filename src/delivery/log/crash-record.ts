import { ftruncateSync, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { errorCode } from './faults.ts';
import { openFile } from './files.ts';

const CRASH_FILE = 'crashes';

/** A message of the log: its entry, and its place in the entry, from 0. */
export type Position = readonly [entry: number, index: number];

/** Messages that are processed now, while no others are in the whole process. */
export interface Trial {
  /** Whether all messages before them are processed with them. */
  readonly together: boolean;
  readonly from: Position;
  readonly to: Position;
  /** How often in a row the process has ended in this very trial. */
  readonly crashes: number;
}

/** The log's memory of how the stream's process ended. */
export interface CrashState {
  /** True until an orderly end is recorded. */
  readonly running: boolean;
  /** The first entry that was not delivered when the process started. */
  readonly first: number;
  /** The trials completed since the last progress: none, each part alone, or each with those before it. */
  readonly tried: 'nothing' | 'alone' | 'together';
  readonly trial?: Trial | undefined;
  /** The pipeline that processed the messages; the record says nothing about any other. */
  readonly pipeline: string;
  /** Hashes of messages that end the process, oldest first. */
  readonly culprits: readonly string[];
  /** Messages that end the process only together with those before them, so messages like them are not to blame. */
  readonly rejected: readonly Position[];
}

/**
 * The log's file that records how its process ended. It is written when the log is opened and closed, and while
 * messages that were in processing at a crash are tried: never in between. It is not synced: a process's writes survive its
 * death, and a power cut needs no record.
 */
export class CrashRecord {
  /** The record of the previous process; undefined if none can be read. */
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

  /** Writes at once, because the next step may end the process. If the disk is full, less is known; no harm is done. */
  write(state: CrashState): void {
    this.#state = state;
    const bytes = encode(state);
    try {
      writeSync(this.#file.fd, bytes, 0, bytes.length, 0);
      ftruncateSync(this.#file.fd, bytes.length);
    } catch {
      // No space: less is known.
    }
  }

  /** Records that the process has ended in order, or is about to. */
  async close(): Promise<void> {
    if (this.#state !== undefined) this.write({ ...this.#state, running: false, trial: undefined });
    await this.#file.close();
  }
}

/** True if the previous process with this log may have died. It may also still have the log open. */
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

/** Decodes the first line; the rest is left over from an earlier, longer record. */
function decode(content: string): CrashState | undefined {
  const [, crc, text] = /^(\d+) (.*)\n/.exec(content) ?? [];
  return text !== undefined && crc32(text) === Number(crc) ? (JSON.parse(text) as CrashState) : undefined;
}
