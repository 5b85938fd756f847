import { z } from 'zod';
import type { Context } from '../component/context.ts';
import type { Input } from '../component/contracts.ts';
import { defineInput } from '../component/define.ts';
import { openUnframer } from '../component/framing/open-framing.ts';
import { framingErrors } from '../component/framing/records.ts';
import type { Unframed } from '../component/framing/framing.ts';
import type { Unframer } from '../component/framing/unframer.ts';
import { EndOfInputError, MillraceError, type Rejection } from '../errors.ts';
import { Contiguous } from '../delivery/contiguous.ts';
import { Batch, type Metadata, type Origin, type Run } from '../message/batch.ts';
import type { InputDelivery } from '../message/delivery.ts';
import { NO_OFFSET, type MetaColumn, type MetaColumns, type MetaName } from '../message/metadata.ts';
import { createReceipt } from '../message/receipt.ts';
import { commandErrors } from './command-errors.ts';
import type { Letters, NumberedLetter } from './replay-letters.ts';

/** The type of the input, in a plan that a file cannot have. */
export const REPLAY = 'replay';

/** The framing of a stream whose inputs have several. */
export const SEVERAL = 'several';

/** The configuration of the input. */
export interface ReplayConfig {
  readonly framing?: object | typeof SEVERAL | undefined;
}

/** The letters as an input of a stream, which counts their outcomes. Parts that were not framed are framed again. */
export class ReplayInput implements Input {
  readonly #letters: Letters;
  readonly #blocks: AsyncGenerator<readonly NumberedLetter[], void, undefined>;
  readonly #origins = new Origins();
  #read = 0;
  #confirmed = 0;
  readonly #done = new Contiguous(0);
  #unframer: Unframer | typeof SEVERAL | undefined;

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
    framing: 'own',
    create: (config: ReplayConfig, context) => this.#opened(config, context),
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

  async read(signal: AbortSignal): Promise<InputDelivery> {
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

  #opened(config: ReplayConfig, context: Context): this {
    this.#unframer = config.framing === SEVERAL ? SEVERAL : openUnframer(config, context);
    return this;
  }

  #delivery(letters: readonly NumberedLetter[]): InputDelivery {
    const before = this.#read;
    this.#read += letters.length;
    const receipt = createReceipt({
      settled: (error) => {
        if (error !== undefined) return;
        this.#done.add(before, before + letters.length - 1);
        this.#confirmed += letters.length;
      },
    });
    const payloads: Uint8Array[] = [];
    const sources: Metadata[] = [];
    const refused: Rejection[] = [];
    for (const letter of letters) {
      const { messages, errors } = this.#messagesOf(letter);
      for (const [place, error] of errors ?? []) refused.push({ index: payloads.length + place, error });
      for (const message of messages) {
        payloads.push(message);
        sources.push(letter.metadata);
      }
    }
    const runs = sources.map((metadata, start): Run => ({
      start,
      time: metadata.ingestTime,
      ...this.#origins.of(metadata),
    }));
    const batch = new Batch(payloads, { runs, columns: columnsOf(sources) });
    return { batch, receipt, refused: refused.length > 0 ? refused : undefined };
  }

  /** @throws MillraceError if the letter is a part of a frame, and nobody knows of which framing */
  #messagesOf({ payload, code, line }: NumberedLetter): Pick<Unframed, 'messages' | 'errors'> {
    const unframer = this.#unframer;
    if (unframer === undefined || code === undefined || !Object.hasOwn(framingErrors, code)) {
      return { messages: [payload], errors: undefined };
    }
    if (unframer !== SEVERAL) return unframer.again(payload, code);
    throw new MillraceError(
      commandErrors.MILLRACE_REPLAY_INVALID,
      `${this.#letters.name}:${line}: a part of a frame (${code}), and the inputs of this stream have different framings; select the other letters with --code`,
      { fatal: true },
    );
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
