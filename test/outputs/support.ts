import type { WriteCall, WriteResult } from '../../src/component/contracts.ts';
import type { Output } from '../../src/component/contracts.ts';
import type { AnyDefinition } from '../../src/component/define.ts';
import { messageId } from '../../src/component/message-id.ts';
import { EndOfInputError } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import type { Ext } from '../../src/message/metadata.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import { abortable, Waker } from '../../src/component/waker.ts';
import { testInput, testOutput, textsOf } from '../runtime/harness.ts';

/** An input `source` that gives batches when it is told, and knows how each ended. */
export class Source {
  readonly definition: AnyDefinition;
  readonly settled: {
    readonly texts: readonly string[];
    readonly error: unknown;
    readonly rejected: number;
  }[] = [];
  readonly #waiting: { readonly texts: readonly string[]; readonly ext: Ext }[] = [];
  readonly #waker = new Waker();
  #ended = false;
  /** Batches that were read. */
  read = 0;

  constructor() {
    this.definition = testInput('source', { read: (signal) => this.#read(signal) });
  }

  give(texts: readonly string[], ext: Ext = {}): void {
    this.#waiting.push({ texts, ext });
    this.#waker.wake();
  }

  end(): void {
    this.#ended = true;
    this.#waker.wake();
  }

  async #read(signal: AbortSignal) {
    await this.#waker.until(() => this.#waiting.length > 0 || this.#ended, signal);
    const next = this.#waiting.shift();
    if (next === undefined) throw new EndOfInputError();
    this.read++;
    const { texts, ext } = next;
    const batch = new Batch(
      texts.map((text) => Buffer.from(text)),
      { positions: 'own', runs: [{ start: 0, origin: { source: 'test', ext }, time: 0 }] },
    );
    const receipt = createReceipt({
      settled: (error, rejected) => this.settled.push({ texts, error, rejected: rejected.length }),
    });
    return { batch, receipt };
  }
}

/** An output of the test's own, whose writes can be held and can fail. */
export class Sink {
  readonly definition: AnyDefinition;
  readonly texts: string[] = [];
  readonly ids: string[] = [];
  /** Attempts to write, whatever came of them. */
  attempts = 0;
  /** Writes that ended because they were aborted. */
  aborted = 0;
  reopened = 0;
  closed = 0;
  /** Thrown by the next writes, and by attempts to connect if `away`. */
  failure: Error | undefined;
  away = false;
  #gate: PromiseWithResolvers<void> | undefined;
  #lost: (error: Error) => void = () => {};

  constructor(type: string, more: Partial<Output> = {}) {
    this.definition = testOutput(type, {
      backoff: { initial: 1, max: 2, attempts: Infinity },
      connect: (_, lost) => {
        this.#lost = lost;
        return this.away ? Promise.reject(this.failure!) : Promise.resolve();
      },
      write: (batch, call) => this.#write(batch, call),
      reopen: () => void this.reopened++,
      close: () => Promise.resolve(void this.closed++),
      ...more,
    });
  }

  hold(): void {
    this.#gate ??= Promise.withResolvers();
  }

  release(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  /** The connection is gone, and cannot be made again for now. */
  lose(error: Error): void {
    this.away = true;
    this.failure = error;
    this.#lost(error);
  }

  back(): void {
    this.away = false;
    this.failure = undefined;
  }

  async #write(batch: Batch, call: WriteCall): Promise<WriteResult | void> {
    this.attempts++;
    try {
      if (this.#gate !== undefined) await abortable(this.#gate.promise, call.signal);
    } catch (error) {
      this.aborted++;
      throw error;
    }
    if (this.failure !== undefined) throw this.failure;
    const texts = textsOf(batch);
    this.texts.push(...texts);
    this.ids.push(...texts.map((_, index) => messageId(call, index)));
  }
}

/** The error and the payload of each dead letter. */
export function lettersOf(sink: Sink): { payload: string; code: string; message: string }[] {
  return sink.texts.map((text) => {
    const letter = JSON.parse(text) as { payload: string; error: { code: string; message: string } };
    return { payload: letter.payload, code: letter.error.code, message: letter.error.message };
  });
}
