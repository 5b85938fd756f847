import { open, type FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import type { Context } from '../../component/context.ts';
import type { Input } from '../../component/contracts.ts';
import { defineInput } from '../../component/define.ts';
import { fixedPath } from '../../component/fields.ts';
import { Unframed, type FrameDecoder } from '../../component/framing/framing.ts';
import { openUnframer } from '../../component/framing/open-framing.ts';
import type { Unframer } from '../../component/framing/unframer.ts';
import { EndOfInputError, MillraceError, errorMessage } from '../../errors.ts';
import { Batch, nowMicros, type Origin } from '../../message/batch.ts';
import type { Delivery } from '../../message/delivery.ts';
import { noReceipt } from '../../message/receipt.ts';

const BOM = Buffer.from('\ufeff');
const CHUNK = 256 * 1024;

const schema = z.strictObject({
  path: fixedPath.describe('The file.'),
});

/** The messages of a file; the stream ends with the file. */
export const fileInput = defineInput({
  type: 'file',
  givesBytes: true,
  summary: 'Reads a file, one message a line unless `framing` says otherwise, and ends with the file.',
  status: 'stable',
  framing: 'stream',
  description: [
    'A byte order mark at the start of a text file is not part of a message. With `framing: { type: lines, compression: gzip }`, Millrace decompresses the file as it reads.',
    'If the file is not framed as `framing` says, or a message is longer than `framing.max_message_size`, the stream fails: the messages before the mistake go on, and nothing behind it is read. `framing.max_frame_size` and `framing.max_messages` do not apply to files, which are read piece by piece.',
  ].join('\n\n'),
  schema,
  examples: [
    { title: 'A file of JSON lines', yaml: 'type: file\npath: ./readings.jsonl\ncodec:\n  type: json\n' },
    {
      title: 'A compressed file that holds an array',
      yaml: 'type: file\npath: ./readings.json.gz\nframing:\n  type: json_array\n  compression: gzip\n',
    },
  ],
  create: (config, context) => new FileInput(config, context),
});

class FileInput implements Input {
  readonly #path: string;
  readonly #origin: Origin;
  readonly #unframer: Unframer;
  readonly #decoder: FrameDecoder;
  #file: FileHandle | undefined;
  #pieces: AsyncIterator<Uint8Array> | undefined;
  #messages = 0;
  /** A mistake that was found behind messages that must be read first. */
  #mistake: MillraceError | undefined;

  constructor(config: z.output<typeof schema>, context: Context) {
    this.#path = config.path;
    this.#origin = { source: context.name ?? config.path, ext: {} };
    this.#unframer = openUnframer(config, context)!;
    this.#decoder = this.#unframer.stream();
  }

  async connect(): Promise<void> {
    try {
      this.#file ??= await open(this.#path, 'r');
    } catch (error) {
      throw this.#failed('open', error);
    }
    this.#pieces ??= this.#read(this.#file);
  }

  async read(): Promise<Delivery> {
    for (;;) {
      if (this.#mistake !== undefined) throw this.#mistake;
      if (this.#pieces === undefined) throw new EndOfInputError();
      const out = new Unframed();
      try {
        const { value, done } = await this.#pieces.next();
        if (done !== true) this.#decoder.push(value, out);
        else {
          await this.close();
          this.#decoder.flush(out);
        }
      } catch (error) {
        throw this.#failed('read', error);
      }
      const messages = this.#before(out);
      this.#messages += messages.length;
      if (messages.length === 0) continue;
      const runs = [{ start: 0, origin: this.#origin, time: nowMicros() }];
      return { batch: new Batch(messages, { runs }), receipt: noReceipt };
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#pieces = undefined;
    await file?.close();
  }

  /** The messages before the first mistake. */
  #before({ messages, errors }: Unframed): Uint8Array[] {
    const [first] = errors ?? [];
    if (first === undefined) return messages;
    const [place, error] = first;
    this.#mistake = this.#misframed(error, `after message ${this.#messages + place}: ${error.message}`);
    return messages.slice(0, place);
  }

  async *#read(file: FileHandle): AsyncGenerator<Uint8Array> {
    const pieces = this.#unframer.inflated(chunksOf(file));
    if (this.#unframer.binary) yield* pieces;
    else yield* withoutMark(pieces);
  }

  #failed(action: string, error: unknown): MillraceError {
    if (error instanceof MillraceError) return this.#misframed(error, error.message);
    const message = `cannot ${action} ${this.#path}: ${errorMessage(error)}`;
    return new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause: error, fatal: true });
  }

  #misframed(error: MillraceError, message: string): MillraceError {
    return new MillraceError(error, `${this.#path}: ${message}`, { fatal: true });
  }
}

async function* chunksOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/** The pieces without a byte order mark at the start of the first. */
async function* withoutMark(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let start: Uint8Array | undefined = new Uint8Array(0);
  for await (const piece of pieces) {
    if (start === undefined) {
      yield piece;
      continue;
    }
    start = start.length === 0 ? piece : Buffer.concat([start, piece]);
    if (start.length < BOM.length) continue;
    yield BOM.equals(start.subarray(0, BOM.length)) ? start.subarray(BOM.length) : start;
    start = undefined;
  }
  if (start !== undefined && start.length > 0) yield start;
}
