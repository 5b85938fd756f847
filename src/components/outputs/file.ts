import { constants } from 'node:fs';
import { access, mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { ComponentContext, Output } from '../../component/contracts.ts';
import { defineOutput } from '../../component/define.ts';
import { MessagesRefusedError, MillraceError, errorMessage } from '../../errors.ts';
import type { Batch } from '../../message/batch.ts';
import { toLines } from '../../message/lines.ts';

const LF = 10;

const schema = z.strictObject({
  path: z.string().min(1).describe('The file; its folders are made if they are missing.'),
  append: z
    .boolean()
    .default(true)
    .describe('Keep what the file has. With `false` it is emptied when the stream starts.'),
  sync: z
    .boolean()
    .default(false)
    .describe(
      'Confirm a batch only when the disk has it (`fdatasync`), so that it outlives a loss of power.',
    ),
});

/** A file of lines. */
export const fileOutput = defineOutput({
  type: 'file',
  summary: 'Appends each message as a line to a file.',
  status: 'stable',
  description:
    'A batch is confirmed once the operating system has it, which outlives a crash of Millrace but not a loss of power, unless `sync` is set. If an earlier run was killed in the middle of a line, the file gets a line feed first, so that the torn line spoils none after it. After a write that failed half-way (a full disk), the file is cut back to its last whole line before the batch is written again. Line breaks at the end of a message are the end of its line. JSON over several lines is written as one, without the whitespace between its tokens. Any other message that has a line break inside goes to `error_output`, unless the output has a `json` codec.',
  schema,
  examples: [{ title: 'Append to a file', yaml: 'type: file\npath: ./data/readings.jsonl\n' }],
  create: (config, context) => new FileOutput(config, context),
});

class FileOutput implements Output {
  readonly #path: string;
  readonly #context: ComponentContext;
  readonly #sync: boolean;
  #append: boolean;
  #file: FileHandle | undefined;
  /** Where the last whole line that we know of ends. */
  #end = 0;
  /** Bytes of a write that failed half-way, or undefined. */
  #torn: number | undefined;

  constructor(config: z.output<typeof schema>, context: ComponentContext) {
    this.#path = config.path;
    this.#append = config.append;
    this.#sync = config.sync;
    this.#context = context;
  }

  async connect(): Promise<void> {
    if (this.#file !== undefined) return;
    try {
      await mkdir(dirname(this.#path), { recursive: true });
      this.#file = await open(this.#path, this.#append ? 'a+' : 'w+');
      // A second connect, after an error, must not empty it again.
      this.#append = true;
      await this.#endLastLine(this.#file);
      if (this.#sync) await syncFolder(dirname(this.#path));
    } catch (error) {
      throw this.#unavailable('open', error);
    }
  }

  /** Looks whether the file, or the nearest folder that there is, can be written; touches neither. */
  async dial(): Promise<void> {
    for (let path = resolve(this.#path); ; path = dirname(path)) {
      try {
        const isFolder = (await stat(path)).isDirectory();
        if (isFolder === (path === resolve(this.#path))) {
          throw new Error(isFolder ? `${path} is a folder` : `${path} is no folder`);
        }
        return await access(path, constants.W_OK);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw this.#unavailable('write', error);
      }
    }
  }

  async write(batch: Batch): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw this.#unavailable('write', new Error('it is not open'));
    const { lines, refusals } = toLines(batch);
    let done = 0;
    try {
      if (this.#torn !== undefined) await this.#mend(file, this.#torn);
      this.#torn = 0;
      while (done < lines.length) {
        done += (await file.write(lines, done, lines.length - done, null)).bytesWritten;
        this.#torn = done;
      }
      this.#torn = undefined;
      this.#end += done;
    } catch (error) {
      throw this.#unavailable('write', error);
    }
    if (this.#sync) await this.#syncData(file);
    if (refusals.length > 0) throw new MessagesRefusedError(refusals);
  }

  /** After a failure the system may have dropped what it could not write: to ask again would be to believe it. */
  async #syncData(file: FileHandle): Promise<void> {
    try {
      await file.datasync();
    } catch (cause) {
      // A pipe has nothing to sync.
      if ((cause as NodeJS.ErrnoException).code === 'EINVAL') return;
      const message = `cannot sync ${this.#path}: ${errorMessage(cause)}`;
      throw new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause, fatal: true });
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Takes a torn write back, unless somebody else has written behind it: then it just ends the torn line. */
  async #mend(file: FileHandle, torn: number): Promise<void> {
    if (torn === 0) return;
    const { size } = await file.stat();
    if (size === this.#end + torn) await file.truncate(this.#end);
    else await file.write('\n');
  }

  async #endLastLine(file: FileHandle): Promise<void> {
    const stat = await file.stat();
    const { size } = stat;
    this.#end = size;
    // A pipe or a device has no last line.
    if (size === 0 || !stat.isFile()) return;
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    if (buffer[0] === LF) return;
    this.#context.events.noticed(
      { path: this.#path },
      'the file ends in the middle of a line; starting a new one',
    );
    await file.write('\n');
    this.#end++;
  }

  #unavailable(action: string, error: unknown): MillraceError {
    const message = `cannot ${action} ${this.#path}: ${errorMessage(error)}`;
    // A full disk or a missing permission may be mended meanwhile; a folder does not become a file.
    const fatal = ['EISDIR', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
    return new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause: error, fatal });
  }
}

/** A new file is there after a loss of power only if its folder knows of it. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
