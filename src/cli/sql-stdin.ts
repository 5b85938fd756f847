import type { Readable } from 'node:stream';
import { z } from 'zod';
import type { Input } from '../component/contracts.ts';
import { defineInput } from '../component/define.ts';
import { EndOfInputError, MillraceError } from '../errors.ts';
import { Batch, nowMicros, type Origin } from '../message/batch.ts';
import type { Delivery } from '../message/delivery.ts';
import { noReceipt } from '../message/receipt.ts';
import { readLines } from './read-lines.ts';

/** The type of the input, in a plan that a file cannot have. */
export const STDIN = 'stdin';

/** The longest line, in bytes. */
const MAX_LINE = 16 * 1024 * 1024;

/** The lines of stdin as an input of a stream. */
export class StdinInput implements Input {
  readonly #stdin: Readable;
  readonly #origin: Origin = { source: STDIN, ext: {} };
  readonly #lines: AsyncGenerator<readonly Buffer[], void, undefined>;

  constructor(stdin: Readable) {
    this.#stdin = stdin;
    this.#lines = readLines(
      stdin,
      MAX_LINE,
      (line) => line,
      (number) =>
        new MillraceError(
          'MILLRACE_PROCESSOR_FAILED',
          `stdin: line ${number} is longer than ${MAX_LINE} bytes`,
          {
            fatal: true,
          },
        ),
    );
  }

  readonly definition = defineInput({
    type: STDIN,
    summary: 'Reads the lines of stdin.',
    status: 'stable',
    schema: z.strictObject({}),
    examples: [],
    create: () => this,
  });

  connect(): Promise<void> {
    return Promise.resolve();
  }

  async read(signal: AbortSignal): Promise<Delivery> {
    // Stdin may never end: then the waiting read must be released.
    const stop = (): void => void this.#stdin.destroy();
    signal.addEventListener('abort', stop);
    try {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new EndOfInputError();
      const runs = [{ start: 0, origin: this.#origin, time: nowMicros() }];
      return { batch: new Batch(value, { runs }), receipt: noReceipt };
    } catch (error) {
      throw signal.aborted ? new EndOfInputError() : error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  close(): Promise<void> {
    this.#stdin.destroy();
    return Promise.resolve();
  }
}
