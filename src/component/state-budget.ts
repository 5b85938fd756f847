import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/** How much the operators of a stream may keep, in bytes. */
export interface StateLimits {
  readonly memory: number;
  /** In files beside the stream's log. */
  readonly disk: number;
}

/**
 * Counts everything that the operators of one stream keep for longer than a batch takes: windows and buffers. It is
 * separate from the messages in flight. The files are scratch: after a crash the log delivers the messages again.
 */
export class StateBudget {
  readonly limits: StateLimits;
  readonly #folder: string | undefined;
  #messages = 0;
  #memory = 0;
  #disk = 0;
  #opened: Promise<string> | undefined;
  #files = 0;

  /** `folder` is the state's own, created when first needed; undefined if there may be no files. */
  constructor(limits: StateLimits, folder: string | undefined) {
    this.limits = limits;
    this.#folder = folder;
  }

  get messages(): number {
    return this.#messages;
  }

  get memory(): number {
    return this.#memory;
  }

  get disk(): number {
    return this.#disk;
  }

  get hasFiles(): boolean {
    return this.#folder !== undefined;
  }

  /** Whether this many more bytes fit. */
  fits(where: 'memory' | 'disk', bytes: number): boolean {
    if (where === 'memory') return this.#memory + bytes <= this.limits.memory;
    return this.hasFiles && this.#disk + bytes <= this.limits.disk;
  }

  /** Counts kept messages. @returns a function that takes them back; calling it again does nothing */
  add(where: 'memory' | 'disk', messages: number, bytes: number): () => void {
    this.#count(where, messages, bytes);
    let counted = true;
    return () => {
      if (counted) this.#count(where, -messages, -bytes);
      counted = false;
    };
  }

  /** A new file, which is gone once it is closed. */
  async file(): Promise<FileHandle> {
    this.#opened ??= this.#open(this.#folder!);
    const path = join(await this.#opened, String(this.#files++));
    const file = await open(path, 'wx+', 0o600);
    // The open handle keeps the file; a process that dies leaves nothing behind.
    await rm(path);
    return file;
  }

  async #open(folder: string): Promise<string> {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  #count(where: 'memory' | 'disk', messages: number, bytes: number): void {
    this.#messages += messages;
    if (where === 'memory') this.#memory += bytes;
    else this.#disk += bytes;
  }
}
