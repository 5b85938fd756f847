import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { MillraceError, errorMessage } from '../errors.ts';
import { readLines } from './read-lines.ts';

/** Bytes to read at a time. */
const CHUNK = 256 * 1024;
/** An input that has to be repeated is kept up to this size, in bytes; each message counts this much more. */
const KEPT = 16 * 1024 * 1024;
const MESSAGE_COST = 64;
/** How many messages a block has when a few messages are repeated. */
const BLOCK = 1024;

export interface SourceOptions {
  /** Messages of the command line, instead of an input. */
  readonly messages: readonly string[];
  /** The file; undefined for stdin. */
  readonly file: string | undefined;
  readonly stdin: () => Readable;
  /** Whether a line is a message, or the whole input is. */
  readonly split: 'lines' | 'none';
  readonly binary: boolean;
  /** In bytes. */
  readonly maxMessageSize: number;
  /** How many messages to send; the input is repeated to make as many. Undefined sends it once. */
  readonly count: number | undefined;
}

/** The messages of a `Sender`. */
export interface Messages {
  /** Non-empty blocks of messages. */
  blocks(): AsyncGenerator<readonly Buffer[], void, undefined>;
  /** Whether one of its messages goes out as binary. */
  isBinary(message: Buffer): boolean;
}

/** The messages of `send`. They are read on demand, so memory use is bounded. */
export class MessageSource implements Messages {
  readonly #options: SourceOptions;
  #stream: Readable | undefined;

  constructor(options: SourceOptions) {
    this.#options = options;
  }

  /** The messages in non-empty blocks. @throws MillraceError for an input that cannot be sent */
  async *blocks(): AsyncGenerator<readonly Buffer[], void, undefined> {
    const { count } = this.#options;
    if (count === undefined) {
      yield* this.#once();
      return;
    }
    let left = count;
    for await (const block of this.#repeated()) {
      const part = block.length <= left ? block : block.slice(0, left);
      yield part;
      left -= part.length;
      if (left === 0) return;
    }
  }

  isBinary(): boolean {
    return this.#options.binary;
  }

  /** Stops waiting for input. */
  close(): void {
    this.#stream?.destroy();
  }

  async *#repeated(): AsyncGenerator<readonly Buffer[], void, undefined> {
    const { file } = this.#options;
    let kept: Buffer[] | undefined = [];
    let size = 0;
    for (let round = 0; ; round++) {
      let found = false;
      for await (const block of this.#once()) {
        found = true;
        if (round === 0) {
          for (const message of block) size += message.length + MESSAGE_COST;
          if (size > KEPT) kept = undefined;
          else kept?.push(...block);
        }
        yield block;
      }
      if (!found) throw unreadable(`${this.#name} is empty; there is nothing to repeat`);
      if (kept !== undefined) break;
      if (file === undefined) {
        throw unreadable('standard input has more than 16 MiB and cannot be repeated; give it as a file');
      }
    }
    const many = Array.from({ length: Math.ceil(BLOCK / kept.length) }, () => kept).flat();
    for (;;) yield many;
  }

  async *#once(): AsyncGenerator<readonly Buffer[], void, undefined> {
    const { messages, split } = this.#options;
    if (messages.length > 0) yield messages.map((text) => Buffer.from(text));
    else if (split === 'lines') yield* this.#lines();
    else yield [await this.#whole()];
  }

  #lines(): AsyncGenerator<readonly Buffer[], void, undefined> {
    return readLines(
      this.#chunks(),
      this.#options.maxMessageSize,
      (line, number) => this.#checked(line, `line ${number}`),
      (number) => this.#tooLong(`line ${number}`),
    );
  }

  async #whole(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.#chunks()) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > this.#options.maxMessageSize) throw this.#tooLong('the input');
    }
    return this.#checked(Buffer.concat(chunks), 'the input');
  }

  async *#chunks(): AsyncGenerator<Buffer, void, undefined> {
    const { file, stdin } = this.#options;
    this.#stream = file === undefined ? stdin() : createReadStream(file, { highWaterMark: CHUNK });
    try {
      for await (const chunk of this.#stream) yield chunk as Buffer;
    } catch (error) {
      throw unreadable(`cannot read ${this.#name}: ${errorMessage(error)}`, error);
    }
  }

  get #name(): string {
    return this.#options.file ?? 'standard input';
  }

  #checked(message: Buffer, where: string): Buffer {
    if (this.#options.binary || isUtf8(message)) return message;
    throw unreadable(`${this.#name}: ${where} is not valid UTF-8 and cannot be a text message; use --binary`);
  }

  #tooLong(what: string): MillraceError {
    const { maxMessageSize } = this.#options;
    return unreadable(
      `${this.#name}: ${what} is longer than --max-message-size (${maxMessageSize} bytes); raise it`,
    );
  }
}

function unreadable(message: string, cause?: unknown): MillraceError {
  return new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause, fatal: true });
}
