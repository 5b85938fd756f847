import { z } from 'zod';
import type { Output } from '../component/contracts.ts';
import { defineOutput } from '../component/define.ts';
import { printable } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { textOf } from '../message/text.ts';
import type { Printable } from './shell.ts';
import { tableOf } from './sql-table.ts';

/** The type of the output, in a plan that a file cannot have. */
export const PRINT = 'print';

/** The lines of a terminal that are not for rows: the head, the rule, the line below, and the prompt. */
const OTHER_LINES = 5;

const LINE_END = Buffer.from('\n');

export interface PrintOptions {
  readonly stdout: Printable;
  readonly format: 'table' | 'ndjson';
  /** A table takes the place of the one before, as the feed goes on. */
  readonly live: boolean;
  /** The most rows. */
  readonly count: number;
  /** Called when the rows are complete, or when nobody reads them any more. */
  readonly done: () => void;
}

/** The result of `millrace sql` as an output of its stream. */
export class PrintOutput implements Output {
  readonly #options: PrintOptions;
  #left: number;
  #drawn = 0;
  #gone = false;

  constructor(options: PrintOptions) {
    this.#options = options;
    this.#left = options.count;
  }

  readonly definition = defineOutput({
    type: PRINT,
    summary: 'Prints rows.',
    status: 'stable',
    schema: z.strictObject({}),
    examples: [],
    create: () => this,
  });

  connect(): Promise<void> {
    // Each write hears of its own error; without a listener the same error would end the process.
    this.#options.stdout.on('error', ignore);
    return Promise.resolve();
  }

  async write({ payloads: all }: Batch): Promise<void> {
    if (this.#gone || this.#left === 0) return;
    const payloads = all.slice(0, this.#left);
    this.#left -= payloads.length;
    const { format, done } = this.#options;
    await this.#print(format === 'table' ? this.#draw(payloads) : this.#lines(payloads));
    if (this.#left === 0) done();
  }

  close(): Promise<void> {
    this.#options.stdout.off('error', ignore);
    return Promise.resolve();
  }

  /** On a terminal, control characters that would steer it are escaped. */
  #lines(payloads: readonly Uint8Array[]): string | Uint8Array {
    const data = Buffer.concat(payloads.flatMap((each) => [each, LINE_END]));
    return this.#options.stdout.isTTY === true ? printable(textOf(data)) : data;
  }

  /** The table, in place of the last one if this is a terminal and the feed goes on. */
  #draw(payloads: readonly Uint8Array[]): string {
    const { stdout, live } = this.#options;
    const { columns = Infinity, rows = Infinity } = stdout;
    const again = live && stdout.isTTY === true;
    const lines = tableOf(payloads, columns - 1, again ? Math.max(1, rows - OTHER_LINES) : undefined);
    const before = again && this.#drawn > 0 ? `\u001b[${this.#drawn}A\u001b[0J` : '';
    this.#drawn = lines.length + 1;
    return `${before}${lines.join('\n')}\n\n`;
  }

  #print(data: string | Uint8Array): Promise<void> {
    const { stdout, done } = this.#options;
    return new Promise((resolve, reject) => {
      stdout.write(data, (error: NodeJS.ErrnoException | null | undefined) => {
        if (error === null || error === undefined) return resolve();
        if (error.code !== 'EPIPE') return reject(error);
        // A reader that has gone (`| head`) is no failure.
        this.#gone = true;
        done();
        resolve();
      });
    });
  }
}

function ignore(): void {}
