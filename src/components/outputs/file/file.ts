import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteResult } from '../../../component/contracts.ts';
import { defineOutput } from '../../../component/define.ts';
import { duration, size } from '../../../component/fields.ts';
import { errorMessage, MillraceError, type Rejection } from '../../../errors.ts';
import { fileCompressionNames } from '../../../component/framing/compression.ts';
import type { Framer } from '../../../component/framing/framer.ts';
import { openFramer } from '../../../component/framing/open-framing.ts';
import { makeFolders } from '../../../folders.ts';
import type { Batch, Run } from '../../../message/batch.ts';
import { Finished } from './finished.ts';
import { RecordFile, unavailable, type RecordFileOptions } from './record-file.ts';
import { FilePath, isFilledIn, pathField } from './path.ts';

/** The most files that are open at the same time. */
const MAX_OPEN = 64;
/** Of several files, one that nothing was written to for this long is closed. Milliseconds. */
const IDLE = 60_000;

const rotate = z
  .strictObject({
    size: size({ min: 1024 }).optional().describe('Finish a file before it is larger than this.'),
    every: duration('s', { min: 1000 })
      .optional()
      .describe(
        'Finish a file when a period of this length ends. Periods are counted from midnight, UTC: `24h` is a file a day, `1h` one an hour, on the hour.',
      ),
    keep: z
      .int()
      .min(1)
      .optional()
      .describe('How many finished files to keep; older ones are removed. Without it, all stay.'),
    compression: z
      .enum(fileCompressionNames)
      .optional()
      .describe('Compress finished files: `.gz` or `.zst` is added to their names.'),
  })
  .refine((value) => value.size !== undefined || value.every !== undefined, {
    message: 'does not say when a file is finished; expected size, every or both',
  });

const schema = z
  .strictObject({
    path: pathField.describe(
      'The file; missing folders are created. It may contain `{{date}}`, `{{year}}`, `{{month}}`, `{{day}}`, `{{hour}}` and `{{minute}}` (of the message’s arrival, UTC), `{{meta:NAME}}` (an entry of `__meta_ext`), `{{source}}` (`__meta_source`), `{{key}}` (`__meta_key`), `{{partition}}` (`__meta_partition`) and `{{json:PATH}}` (the value there in the payload), each with a default as in `{{meta:param.device:-unknown}}`.',
    ),
    append: z
      .boolean()
      .default(true)
      .describe('Append to the file. With `false`, it is emptied when the stream starts.'),
    sync: z
      .boolean()
      .default(false)
      .describe('Confirm a batch only when the disk has it (`fdatasync`), so that it survives a power loss.'),
    rotate: rotate
      .optional()
      .describe(
        'Finish the file by size or time: it is renamed, with the time in its name, as in `orders~20261130T000000000Z.jsonl`, and a new one begins.',
      ),
  })
  .superRefine(({ path, append }, context) => {
    if (append || !isFilledIn(path)) return;
    context.addIssue({
      code: 'custom',
      path: ['append'],
      message: 'is for one file, but the path of this output may name many; leave it out',
    });
  });

/** A file of messages, or many files. */
export const fileOutput = defineOutput({
  type: 'file',
  summary: 'Appends each message to a file, one line each unless `framing` says otherwise.',
  status: 'stable',
  framing: 'stream',
  description: [
    'A batch is confirmed once the operating system has it. That survives a crash of Millrace, but not a power loss; for that, set `sync`. If an earlier run was killed in the middle of a message, Millrace ends it first, with a line feed or the delimiter, so that it damages no other. After a write that failed halfway (a full disk), it cuts the file back to its last whole message before it writes the batch again.',
    'Messages are framed as `framing` says: `lines`, or `delimiter` with `terminated: true`. [Lines](../framing/lines.md) explains line breaks in messages.',
    'When somebody moves or removes the file (`mv`, logrotate), the next batch creates it again; SIGHUP does so at once. Messages in the first 10 milliseconds may still go to the old file. Millrace always appends, so `copytruncate` works as well.',
    'A filled-in value cannot leave its folder: Millrace percent-encodes everything in it except letters, digits and `. _ @ + = , -`, and also a dot or a hyphen at its start. After SQL, a row has only the metadata that the query selects: select `__meta_ext` for `{{meta:…}}`, and `__meta_ingest_time` for the exact time. A message without a value, or with one longer than 128 bytes, goes to `error_output`. The 64 files that were written last stay open. Each value creates a file, so use one that you control, such as `subject`, and not one that strangers can choose.',
    'Finished files are compressed in the background; if Millrace stops meanwhile, the next start continues. A file whose period ended while Millrace was not running is finished when it is opened.',
  ].join('\n\n'),
  schema,
  examples: [
    { title: 'Append to a file', yaml: 'type: file\npath: ./data/readings.jsonl\n' },
    {
      title: 'A folder for each device, with a file a day in it',
      yaml: "type: file\npath: './data/{{meta:param.device}}/{{date}}.jsonl'\n",
    },
    {
      title: 'A new file each day or at 1 GB, keeping the last 31, compressed',
      yaml: 'type: file\npath: ./data/readings.jsonl\nrotate: { every: 24h, size: 1GB, keep: 31, compression: zstd }\n',
    },
  ],
  create: (config, context) => new FileOutput(config, context),
});

/** The part of a batch for one file: the places of its messages, or undefined for all. */
interface Part {
  readonly path: string;
  readonly indices: readonly number[] | undefined;
  readonly data: Uint8Array;
}

class FileOutput implements Output {
  readonly #path: FilePath;
  readonly #framer: Framer;
  readonly #truncate: boolean;
  readonly #options: RecordFileOptions;
  readonly #finished: Finished;
  /** The open files, the one written last at the end. */
  readonly #files = new Map<string, { readonly file: RecordFile; used: number }>();
  /**
   * How much of a batch was written when its write failed, and which messages go to no file: the batch comes again.
   */
  #progress: { readonly batch: Batch; part: number; at: number; readonly refusals: Rejection[] } | undefined;
  /** The operations on the files, one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(config: z.output<typeof schema>, context: Context) {
    const { size = Infinity, every = Infinity, keep = Infinity, compression } = config.rotate ?? {};
    this.#path = new FilePath(config.path);
    this.#framer = openFramer(config, context)!;
    this.#truncate = !config.append;
    this.#finished = new Finished({ compression, keep, events: context.events });
    this.#options = {
      terminator: Buffer.from(this.#framer.terminator ?? ''),
      sync: config.sync,
      rotate: { size, every },
      events: context.events,
      tidy: (path, extension) => this.#finished.tidy(path, extension),
    };
  }

  prepare(): Promise<void> {
    const fail = (field: string, message: string): Promise<never> =>
      Promise.reject(new MillraceError('MILLRACE_CONFIG_INVALID', message, { field, fatal: true }));
    if (this.#framer.compresses) {
      const message =
        'does not work for a file that Millrace appends to: a torn write would spoil the rest; `rotate.compression` compresses finished files';
      return fail('framing.compression', message);
    }
    if (this.#framer.terminator === undefined) {
      const message =
        'does not work for a file that Millrace appends to: a record torn by a crash would run into the next; expected lines, or a delimiter with `terminated: true`';
      return fail('framing', message);
    }
    return Promise.resolve();
  }

  async connect(): Promise<void> {
    const { constant, folder } = this.#path;
    if (constant !== undefined) await this.#inTurn(() => this.#fileOf(constant).open()).catch(tell);
    else {
      await makeFolders(folder).catch((error: unknown) => tell(unavailable('make', folder, error)));
      await access(folder, constants.W_OK).catch((error: unknown) =>
        tell(unavailable('write in', folder, error)),
      );
    }
    this.#armTimer();
  }

  /** Checks whether the file, or the nearest existing folder, can be written; touches neither. */
  async dial(): Promise<void> {
    const { constant, folder } = this.#path;
    const file = constant === undefined ? undefined : resolve(constant);
    const wanted = file ?? folder;
    for (let path = wanted; ; path = dirname(path)) {
      try {
        const isFolder = (await stat(path)).isDirectory();
        if (isFolder === (path === file))
          throw new Error(isFolder ? `${path} is a folder` : `${path} is not a folder`);
        return await access(path, constants.W_OK);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
          throw unavailable('write', constant ?? folder, error);
      }
    }
  }

  async write(batch: Batch): Promise<WriteResult> {
    const { parts, refusals: unwritable } = this.#split(batch);
    if (this.#progress?.batch !== batch) this.#progress = { batch, part: 0, at: 0, refusals: unwritable };
    const progress = this.#progress;
    const { refusals } = progress;
    for (; progress.part < parts.length; progress.part++, progress.at = 0) {
      const { path, indices, data } = parts[progress.part]!;
      try {
        await this.#inTurn(() =>
          this.#fileOf(path).append(data, progress.at, (end) => {
            progress.at = end;
          }),
        );
      } catch (error) {
        // A value made a path that can never be a file; its sender must not hold the others up.
        if (!isNoFile(error) || this.#path.constant !== undefined) throw tellable(error);
        const refused = new MillraceError('MILLRACE_OUTPUT_REFUSED', errorMessage(error));
        const unfit = new Set(refusals.map(({ index }) => index));
        for (const index of indices ?? batch.payloads.keys()) {
          if (!unfit.has(index)) refusals.push({ index, error: refused });
        }
      }
    }
    this.#progress = undefined;
    return { refused: refusals };
  }

  /** Closes the open files; if the output has one file, it is created at once. */
  reopen(): void {
    void this.#inTurn(async () => {
      await this.#closeAll();
      const { constant } = this.#path;
      if (constant !== undefined && this.#files.size > 0) await this.#fileOf(constant).open();
    }).catch(() => {
      // The next write fails in the same way, and reports it.
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#turn;
    await this.#closeAll();
    this.#files.clear();
    await this.#finished.close();
  }

  /** The bytes for each file, in the order in which the files come up, and the messages that go to no file. */
  #split(batch: Batch): { parts: Part[]; refusals: Rejection[] } {
    const refusals: Rejection[] = [];
    const { starts, paths } = this.#paths(batch);
    const first = paths[0] ?? this.#path.constant;
    if (typeof first === 'string' && paths.every((path) => path === first)) {
      return { parts: [this.#part(batch, first, undefined, refusals)], refusals };
    }
    const indicesOf = new Map<string, number[]>();
    for (const [at, path] of paths.entries()) {
      const end = starts[at + 1] ?? batch.length;
      const indices = typeof path === 'string' ? (indicesOf.get(path) ?? []) : [];
      if (typeof path === 'string') indicesOf.set(path, indices);
      for (let index = starts[at]!; index < end; index++) {
        if (typeof path === 'string') indices.push(index);
        else refusals.push({ index, error: path });
      }
    }
    const parts = Array.from(indicesOf, ([path, indices]) => this.#part(batch, path, indices, refusals));
    return { parts, refusals };
  }

  /** The paths of the messages, each from the message where it begins; empty if all messages have one path. */
  #paths(batch: Batch): { starts: number[]; paths: (string | MillraceError)[] } {
    const starts: number[] = [];
    const paths: (string | MillraceError)[] = [];
    if (this.#path.constant !== undefined) return { starts, paths };
    const byMessage = this.#path.isByMessage(batch);
    for (const [at, run] of batch.runs.entries()) {
      const end = byMessage ? (batch.runs[at + 1]?.start ?? batch.length) : run.start + 1;
      for (let index = run.start; index < end; index++) {
        const path = this.#pathOf(batch, index, run);
        if (byMessage && path === paths.at(-1)) continue;
        starts.push(index);
        paths.push(path);
      }
    }
    return { starts, paths };
  }

  #pathOf(batch: Batch, index: number, run: Run): string | MillraceError {
    try {
      return this.#path.of(batch, index, run);
    } catch (error) {
      return error as MillraceError;
    }
  }

  #part(batch: Batch, path: string, indices: readonly number[] | undefined, refusals: Rejection[]): Part {
    const part = indices === undefined ? batch : batch.select(indices);
    const { data, refusals: unfit } = this.#framer.stream(part);
    for (const { index, error } of unfit) refusals.push({ index: indices?.[index] ?? index, error });
    return { path, indices, data };
  }

  /** The file of a path, marked as used last. Closes files that are too many or idle. */
  #fileOf(path: string): RecordFile {
    const now = performance.now();
    const file =
      this.#files.get(path)?.file ??
      new RecordFile(path, this.#path.extension, this.#truncate, this.#options);
    this.#files.delete(path);
    this.#files.set(path, { file, used: now });
    for (const [other, { file: oldest, used }] of this.#files) {
      if (other === path || (this.#files.size <= MAX_OPEN && now - used < IDLE)) break;
      this.#files.delete(other);
      // It has everything that was confirmed, even if closing fails.
      void oldest.close().catch(() => {});
    }
    return file;
  }

  /** The files have everything that was confirmed, even if closing fails. */
  async #closeAll(): Promise<void> {
    for (const { file } of this.#files.values()) await file.close().catch(() => {});
  }

  /** Works on the files once earlier operations are done. */
  #inTurn(action: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(action);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Finishes the open files at the end of each period, whether or not more messages come. */
  #armTimer(): void {
    const { every } = this.#options.rotate;
    if (every === Infinity || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        void this.#inTurn(async () => {
          // The next write to a file that failed fails in the same way, and reports it.
          for (const { file } of this.#files.values()) await file.finishDue().catch(() => {});
        });
        this.#armTimer();
      },
      every - (Date.now() % every),
    );
  }
}

/** A folder does not become a file, nor a file a folder. */
function isNoFile(error: unknown): boolean {
  const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? '';
  return ['EISDIR', 'ENOTDIR', 'ENAMETOOLONG'].includes(code);
}

/** A full disk or a missing permission may be fixed meanwhile; other errors may not. */
function tellable(error: unknown): unknown {
  if (!(error instanceof MillraceError) || !isNoFile(error)) return error;
  const { message, cause } = error;
  return new MillraceError(error, message, { cause, fatal: true });
}

function tell(error: unknown): never {
  throw tellable(error);
}
