import { createReadStream, createWriteStream } from 'node:fs';
import { access, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileCompressions, type FileCompression } from '../../../component/framing/compression.ts';
import type { ComponentEvents } from '../../../telemetry/events.ts';
import { errorMessage } from '../../../errors.ts';
import { syncFolder } from '../../../folders.ts';

const endings = Object.values(fileCompressions).map(({ ending }) => ending);

/** The mark in the name of a finished file: the time when it was finished, UTC. No filled-in value has a `~`. */
export const FINISHED = String.raw`~\d{8}T\d{9}Z`;

/** A free name beside the file, for a file that is finished now. */
export async function finishedPath(path: string, extension: string): Promise<string> {
  const stem = path.slice(0, path.length - extension.length);
  for (let time = Date.now(); ; time++) {
    const stamp = new Date(time).toISOString().replaceAll(/[-:.]/g, '');
    const free = `${stem}~${stamp}${extension}`;
    const taken = await Promise.all(['', ...endings].map((ending) => exists(free + ending)));
    if (!taken.includes(true)) return free;
  }
}

/**
 * Looks after finished files: compresses them, and removes the oldest. It works in the background, on one file at a
 * time, and continues the work of an earlier run.
 */
export class Finished {
  readonly #compression: FileCompression | undefined;
  readonly #keep: number;
  readonly #events: ComponentEvents;
  readonly #closing = new AbortController();
  readonly #waiting = new Map<string, string>();
  #tidying: Promise<void> | undefined;

  constructor(options: { compression: FileCompression | undefined; keep: number; events: ComponentEvents }) {
    this.#compression = options.compression;
    this.#keep = options.keep;
    this.#events = options.events;
  }

  /** Looks after the finished files of `path`. */
  tidy(path: string, extension: string): void {
    if (this.#closing.signal.aborted || (this.#compression === undefined && this.#keep === Infinity)) return;
    this.#waiting.set(path, extension);
    this.#tidying ??= this.#tidyAll();
  }

  /** Leaves the remaining work to the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#tidying;
  }

  async #tidyAll(): Promise<void> {
    for (const [path, extension] of this.#waiting) {
      this.#waiting.delete(path);
      try {
        await this.#tidyOne(path, extension);
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        const message = `cannot look after the finished files of ${path}, which stay as they are: ${errorMessage(error)}`;
        this.#events.noticed({ path, code: 'MILLRACE_FILE_UNAVAILABLE' }, message);
      }
    }
    // In the same turn: a request after the last look at the queue must start a new round.
    this.#tidying = undefined;
  }

  async #tidyOne(path: string, extension: string): Promise<void> {
    const folder = dirname(path);
    const stem = basename(path).slice(0, basename(path).length - extension.length);
    const mark = new RegExp(`^${FINISHED}$`);
    /** The name without the ending of its compression; undefined if it is not a finished file of this path. */
    const finished = (name: string): string | undefined => {
      const plain = name.replace(/\.(?:gz|zst)$/, '');
      const matches =
        plain.startsWith(stem) &&
        plain.endsWith(extension) &&
        mark.test(plain.slice(stem.length, plain.length - extension.length));
      return matches ? plain : undefined;
    };
    const kept = new Map<string, string[]>();
    for (const name of await readdir(folder)) {
      if (name.endsWith('.tmp') && finished(name.slice(0, -4)) !== undefined) await rm(join(folder, name));
      const plain = finished(name);
      if (plain !== undefined) kept.set(plain, [...(kept.get(plain) ?? []), name]);
    }
    const oldestFirst = [...kept.keys()].toSorted();
    const surplus = oldestFirst.slice(0, Math.max(0, oldestFirst.length - this.#keep));
    for (const name of surplus.flatMap((plain) => kept.get(plain)!))
      await rm(join(folder, name), { force: true });
    if (this.#compression === undefined) return;
    for (const plain of oldestFirst.slice(surplus.length)) {
      if (kept.get(plain)!.includes(plain)) await this.#compress(join(folder, plain), this.#compression);
    }
  }

  /** The compressed file is whole on the disk before the other one is removed. */
  async #compress(path: string, compression: FileCompression): Promise<void> {
    const { ending, compressor } = fileCompressions[compression];
    const temporary = `${path}${ending}.tmp`;
    const { signal } = this.#closing;
    try {
      await pipeline(createReadStream(path), compressor(), createWriteStream(temporary, { flush: true }), {
        signal,
      });
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await rename(temporary, `${path}${ending}`);
    await syncFolder(dirname(path));
    await rm(path, { force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
