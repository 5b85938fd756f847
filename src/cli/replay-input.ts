import { z } from 'zod';
import type { Input } from '../component/contracts.ts';
import { defineInput } from '../component/define.ts';
import { EndOfInputError } from '../errors.ts';
import { Contiguous } from '../delivery/contiguous.ts';
import { Batch, type Metadata, type Origin, type Run } from '../message/batch.ts';
import type { Delivery } from '../message/delivery.ts';
import { NO_OFFSET, type MetaColumn, type MetaColumns, type MetaName } from '../message/metadata.ts';
import { createReceipt } from '../message/receipt.ts';
import type { Letters, NumberedLetter } from './replay-letters.ts';

/** The type of the input, in a plan that a file cannot have. */
export const REPLAY = 'replay';

/** The letters as an input of a stream, which counts their outcomes. */
export class ReplayInput implements Input {
  readonly #letters: Letters;
  readonly #blocks: AsyncGenerator<readonly NumberedLetter[], void, undefined>;
  readonly #origins = new Origins();
  #read = 0;
  #confirmed = 0;
  readonly #done = new Contiguous(0);

  constructor(letters: Letters) {
    this.#letters = letters;
    this.#blocks = letters.blocks();
  }

  readonly definition = defineInput({
    type: REPLAY,
    summary: 'Reads dead letters, with their original metadata.',
    status: 'stable',
    schema: z.strictObject({}),
    examples: [],
    create: () => this,
  });

  /** How many letters are confirmed. */
  get confirmed(): number {
    return this.#confirmed;
  }

  /** How many letters are confirmed before the first that is not. */
  get safe(): number {
    return this.#done.first;
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  async read(signal: AbortSignal): Promise<Delivery> {
    // Stdin may never end: then the waiting read must be released.
    const stop = (): void => this.#letters.close();
    signal.addEventListener('abort', stop);
    try {
      const { value: letters, done } = await this.#blocks.next();
      if (done === true) throw new EndOfInputError();
      return this.#delivery(letters);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  close(): Promise<void> {
    this.#letters.close();
    return Promise.resolve();
  }

  #delivery(letters: readonly NumberedLetter[]): Delivery {
    const before = this.#read;
    this.#read += letters.length;
    const receipt = createReceipt({
      settled: (error) => {
        if (error !== undefined) return;
        this.#done.add(before, before + letters.length - 1);
        this.#confirmed += letters.length;
      },
    });
    const runs = letters.map(({ metadata }, start): Run => ({
      start,
      time: metadata.ingestTime,
      ...this.#origins.of(metadata),
    }));
    const payloads = letters.map(({ payload }) => payload);
    const columns = columnsOf(letters.map(({ metadata }) => metadata));
    return { batch: new Batch(payloads, { runs, columns }), receipt };
  }
}

/** The columns by message of the letters, if one of them has any. */
function columnsOf(letters: readonly Metadata[]): MetaColumns {
  const columns = new Map<MetaName, MetaColumn>();
  const has = (name: keyof Metadata): boolean => letters.some((letter) => letter[name] !== undefined);
  const numbers = (name: 'partition' | 'eventTime'): Float64Array =>
    Float64Array.from(letters, (letter) => letter[name] ?? Number.NaN);
  if (has('key'))
    columns.set(
      'key',
      letters.map(({ key }) => key),
    );
  if (has('partition')) columns.set('partition', numbers('partition'));
  if (has('offset'))
    columns.set(
      'offset',
      BigInt64Array.from(letters, ({ offset }) => offset ?? NO_OFFSET),
    );
  if (has('eventTime')) columns.set('event_time', numbers('eventTime'));
  return columns;
}

/** Restores the session of each message, so that messages of one session share it as before. */
class Origins {
  #key = '';
  #origin: Origin = { source: '', ext: {} };

  of({ source, ext }: NumberedLetter['metadata']): Pick<Run, 'origin' | 'sequence' | 'messageType'> {
    const { message_type: type, sequence: number, ...session } = ext;
    const messageType = type === 'text' || type === 'binary' ? type : undefined;
    const sequence = typeof number === 'string' && /^\d{1,15}$/.test(number) ? Number(number) : undefined;
    // A type that an input does not write is left as it is.
    if (type !== undefined && messageType === undefined) session['message_type'] = type;
    if (number !== undefined && String(sequence) !== number) session['sequence'] = number;
    const key = JSON.stringify([source, session]);
    if (key !== this.#key) {
      this.#key = key;
      this.#origin = { source, ext: session };
    }
    return { origin: this.#origin, sequence, messageType };
  }
}
