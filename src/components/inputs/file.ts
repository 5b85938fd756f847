import { open, type FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import type { Context } from '../../component/context.ts';
import type { Input } from '../../component/contracts.ts';
import { defineInput } from '../../component/define.ts';
import { fixedPath, size } from '../../component/fields.ts';
import { EndOfInputError, MillraceError, errorMessage } from '../../errors.ts';
import { Batch, nowMicros, type Origin } from '../../message/batch.ts';
import type { Delivery } from '../../message/delivery.ts';
import { noReceipt } from '../../message/receipt.ts';

const LF = 10;
const CR = 13;
const SPACE = 32;
const TAB = 9;
const BOM = [0xef, 0xbb, 0xbf] as const;
const CHUNK = 256 * 1024;

const schema = z.strictObject({
  path: fixedPath.describe('The file.'),
  max_line_size: size({ min: 1, max: 2 ** 30 })
    .default(1024 * 1024)
    .describe('The longest line to accept. A longer one fails the stream, and nothing behind it is read.'),
});

/** The lines of a file, a message each; the stream ends with the file. */
export const fileInput = defineInput({
  type: 'file',
  summary: 'Reads a file, a message a line, and ends with it.',
  status: 'stable',
  description:
    'A line ends with a line feed, or a carriage return and a line feed; neither is part of the message. A line that is empty, or has only spaces and tabs, is no message; nor is a byte order mark at the start of the file part of one.',
  schema,
  examples: [
    { title: 'A file of JSON lines', yaml: 'type: file\npath: ./readings.jsonl\ncodec:\n  type: json\n' },
  ],
  create: (config, context) => new FileInput(config, context),
});

class FileInput implements Input {
  readonly #config: z.output<typeof schema>;
  readonly #origin: Origin;
  #file: FileHandle | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #line = 0;

  constructor(config: z.output<typeof schema>, context: Context) {
    this.#config = config;
    this.#origin = { source: context.name ?? config.path, ext: {} };
  }

  async connect(): Promise<void> {
    try {
      this.#file ??= await open(this.#config.path, 'r');
    } catch (error) {
      throw this.#failed('open', error);
    }
  }

  async read(): Promise<Delivery> {
    for (;;) {
      if (this.#file === undefined) throw new EndOfInputError();
      const chunk = await this.#readChunk(this.#file);
      const payloads: Buffer[] = [];
      const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
      let start = 0;
      for (let end = data.indexOf(LF); end >= 0; end = data.indexOf(LF, start)) {
        this.#take(payloads, data, start, end);
        start = end + 1;
      }
      this.#rest = data.subarray(start);
      if (chunk.length === 0) {
        await this.close();
        this.#take(payloads, this.#rest, 0, this.#rest.length);
      } else if (this.#rest.length > this.#config.max_line_size) {
        throw this.#tooLong();
      }
      if (payloads.length > 0) {
        const runs = [{ start: 0, origin: this.#origin, time: nowMicros() }];
        return { batch: new Batch(payloads, { runs }), receipt: noReceipt };
      }
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Takes the line from `start` to `end`, unless it is blank. */
  #take(payloads: Buffer[], data: Buffer, start: number, end: number): void {
    this.#line++;
    const from = this.#line === 1 && BOM.every((byte, at) => data[start + at] === byte) ? start + 3 : start;
    const to = end > from && data[end - 1] === CR ? end - 1 : end;
    if (to - from > this.#config.max_line_size) throw this.#tooLong();
    if (!isBlank(data, from, to)) payloads.push(data.subarray(from, to));
  }

  async #readChunk(file: FileHandle): Promise<Buffer> {
    try {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, null);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw this.#failed('read', error);
    }
  }

  #tooLong(): MillraceError {
    const { path, max_line_size } = this.#config;
    return new MillraceError(
      'MILLRACE_FILE_UNAVAILABLE',
      `${path}: line ${Math.max(1, this.#line)} is longer than max_line_size (${max_line_size} bytes); raise it or mend the file`,
      { fatal: true },
    );
  }

  #failed(action: string, error: unknown): MillraceError {
    const message = `cannot ${action} ${this.#config.path}: ${errorMessage(error)}`;
    return new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause: error, fatal: true });
  }
}

function isBlank(data: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && (data[at] === SPACE || data[at] === TAB)) at++;
  return at === end;
}
