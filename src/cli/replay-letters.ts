import { commandErrors } from './command-errors.ts';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { MillraceError, errorMessage } from '../errors.ts';
import { readLetter, type Letter } from './replay-letter.ts';
import { readLines } from './read-lines.ts';

/** Bytes to read at a time. */
const CHUNK = 256 * 1024;
/** The longest line: text of 16 MiB may be six times that in JSON. In bytes. */
const MAX_LINE = 256 * 1024 * 1024;
/** This many wrong lines are shown; the rest are counted. */
const TOLD = 10;

export interface LettersOptions {
  /** The file; undefined for stdin. */
  readonly file: string | undefined;
  readonly stdin: () => Readable;
  /** How many of the first lines to skip. */
  readonly skip: number;
  /** The codes and stages to keep; empty for all. */
  readonly codes: readonly string[];
  readonly stages: readonly string[];
}

/** A letter with the number of its line. */
export interface NumberedLetter extends Letter {
  readonly line: number;
}

/** A line that has been read: undefined if it is empty or skipped, `other` if its letter is filtered out. */
type Line = NumberedLetter | { readonly line: number; readonly wrong: string } | 'other' | undefined;

/** The dead letters of a file or of stdin. They are read on demand, so memory use is bounded. */
export class Letters {
  readonly #options: LettersOptions;
  /** How much of the file `check` has read. Lines added after that are left for another time. */
  #end: number | undefined;
  #stream: Readable | undefined;
  #closed = false;
  #interrupted = false;
  #given = 0;
  #others = 0;
  #total: number | undefined;
  #failure: MillraceError | undefined;

  constructor(options: LettersOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.file ?? 'standard input';
  }

  /** How many there are: in the file, or in stdin as far as it has been read. */
  get total(): number {
    return this.#total ?? this.#given;
  }

  /** How many were filtered out by code or stage. */
  get others(): number {
    return this.#others;
  }

  /** True when `blocks` ended early because nobody waits for more. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** Why `blocks` ended early, if it did. */
  get failure(): MillraceError | undefined {
    return this.#failure;
  }

  /**
   * Checks the whole file, so that nothing is sent from a file with a mistake. Does nothing for an input that can be
   * read only once, such as stdin.
   * @throws MillraceError that names every line that is not a dead letter
   */
  async check(): Promise<void> {
    const { file } = this.#options;
    if (file === undefined) return;
    try {
      const about = await stat(file);
      if (!about.isFile() && !about.isDirectory()) return;
      this.#end = about.size;
    } catch (error) {
      throw this.#unreadable(error);
    }
    let total = 0;
    let mistakes = 0;
    const told: string[] = [];
    for await (const lines of this.#lines()) {
      for (const line of lines) {
        if (line === undefined || line === 'other') continue;
        if (!('wrong' in line)) total++;
        else if (mistakes++ < TOLD) told.push(this.#mistake(line));
      }
    }
    this.#total = total;
    if (mistakes === 0) return;
    const more = mistakes > TOLD ? [`and ${mistakes - TOLD} more`] : [];
    const count = mistakes === 1 ? '1 line is not a dead letter' : `${mistakes} lines are not dead letters`;
    throw invalid([`${count}; nothing was sent`, ...told, ...more].join('\n'));
  }

  /** The letters in non-empty blocks. They end before a line that is not a letter; `failure` then says why. */
  async *blocks(): AsyncGenerator<readonly NumberedLetter[], void, undefined> {
    try {
      for await (const lines of this.#lines()) {
        const letters: NumberedLetter[] = [];
        for (const line of lines) {
          if (line === undefined) continue;
          if (line === 'other') this.#others++;
          else if ('wrong' in line) {
            this.#failure = invalid(this.#mistake(line));
            break;
          } else letters.push(line);
        }
        this.#given += letters.length;
        if (letters.length > 0) yield letters;
        if (this.#failure !== undefined) return;
      }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      this.#failure = error;
    }
  }

  /** The line number of the letter with this number, from 1; undefined if the input cannot be read again. */
  async lineOf(number: number): Promise<number | undefined> {
    if (this.#end === undefined) return undefined;
    let seen = 0;
    for await (const lines of this.#lines()) {
      for (const line of lines) {
        if (typeof line === 'object' && ++seen === number) return line.line;
      }
    }
    return undefined;
  }

  /** Stops waiting for input. */
  close(): void {
    this.#closed = true;
    this.#stream?.destroy();
  }

  #lines(): AsyncGenerator<readonly Line[], void, undefined> {
    const { skip } = this.#options;
    return readLines(
      this.#chunks(),
      MAX_LINE,
      (line, number) => (number <= skip ? undefined : this.#line(line, number)),
      (number) => invalid(`${this.name}:${number}: longer than ${MAX_LINE / 1024 ** 2} MiB`),
    );
  }

  #line(text: Buffer, line: number): Line {
    // A torn line was ended here, or an editor left an empty line at the end.
    if (text.length === 0) return undefined;
    const { codes, stages } = this.#options;
    const letter = readLetter(text);
    if (typeof letter === 'string') return { line, wrong: letter };
    const { code, stage } = letter;
    const wanted =
      (codes.length === 0 || (code !== undefined && codes.includes(code))) &&
      (stages.length === 0 || (stage !== undefined && stages.includes(stage)));
    return wanted ? { ...letter, line } : 'other';
  }

  #mistake({ line, wrong }: { line: number; wrong: string }): string {
    return `${this.name}:${line}: ${wrong}`;
  }

  async *#chunks(): AsyncGenerator<Buffer, void, undefined> {
    const { file, stdin } = this.#options;
    if (this.#end === 0) return;
    const end = this.#end === undefined ? Infinity : this.#end - 1;
    this.#stream = file === undefined ? stdin() : createReadStream(file, { highWaterMark: CHUNK, end });
    try {
      for await (const chunk of this.#stream) yield chunk as Buffer;
    } catch (error) {
      // A closed input is not a mistake of the file.
      if (!this.#closed) throw this.#unreadable(error);
      this.#interrupted = true;
    }
  }

  #unreadable(cause: unknown): MillraceError {
    return new MillraceError(
      'MILLRACE_FILE_UNAVAILABLE',
      `cannot read ${this.name}: ${errorMessage(cause)}`,
      {
        cause,
        fatal: true,
      },
    );
  }
}

function invalid(message: string): MillraceError {
  return new MillraceError(commandErrors.MILLRACE_REPLAY_INVALID, message, { fatal: true });
}
