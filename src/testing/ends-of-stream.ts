import { z } from 'zod';
import type { Input, Output } from '../component/contracts.ts';
import { defineInput, defineOutput, defineProcessor, type AnyDefinition } from '../component/define.ts';
import { Waker } from '../component/waker.ts';
import { EndOfInputError, MillraceError } from '../errors.ts';
import { Batch, nowMicros, type Metadata } from '../message/batch.ts';
import type { Ext } from '../message/metadata.ts';
import { createReceipt } from '../message/receipt.ts';

const about = { summary: 'Of the conformance kit.', status: 'stable', examples: [] } as const;

/** A text, or bytes. */
export type Message = string | Uint8Array;

/** The input of a stream under test. It knows what has become of its messages. */
export class TestSource implements Input {
  readonly #waiting: (readonly Message[])[] = [];
  readonly #waker = new Waker();
  #isEnded = false;
  /** Batches whose receipt is not settled. */
  open = 0;
  /** Receipts that were settled as failed. */
  readonly failures: unknown[] = [];
  /** The `__meta_ext` of the messages that it gives. */
  ext: () => Ext = () => ({});

  /** Gives messages, a batch. */
  give(messages: readonly Message[]): void {
    this.#waiting.push(messages);
    this.#waker.wake();
  }

  /** Begins anew after its end, for another stream. */
  begin(): void {
    this.#isEnded = false;
  }

  end(): void {
    this.#isEnded = true;
    this.#waker.wake();
  }

  /** Batches that it has not given yet. */
  get unread(): number {
    return this.#waiting.length;
  }

  /** Everything that it was given has been read and is settled. */
  get isSettled(): boolean {
    return this.#waiting.length === 0 && this.open === 0;
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  async read(signal: AbortSignal) {
    for (;;) {
      signal.throwIfAborted();
      const messages = this.#waiting.shift();
      if (messages !== undefined) return this.#delivery(messages);
      if (this.#isEnded) throw new EndOfInputError();
      await this.#waker.wait(signal);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #delivery(messages: readonly Message[]) {
    const runs = [{ start: 0, origin: { source: 'conformance', ext: this.ext() }, time: nowMicros() }];
    this.open++;
    const receipt = createReceipt({
      settled: (error) => {
        this.open--;
        if (error !== undefined) this.failures.push(error);
      },
    });
    const payloads = messages.map((message) => Buffer.from(message as string));
    return { batch: new Batch(payloads, { runs }), receipt };
  }
}

/** An output of a stream under test. It can fail, and can be held. */
export class TestSink implements Output {
  readonly backoff = { initial: 20, max: 40, attempts: Infinity };
  readonly payloads: Buffer[] = [];
  readonly metadata: Metadata[] = [];
  writes = 0;
  /** How many writes from now on fail. */
  failing = 0;
  #gate: PromiseWithResolvers<void> | undefined;

  get texts(): string[] {
    return this.payloads.map((payload) => payload.toString());
  }

  hold(): void {
    this.#gate ??= Promise.withResolvers();
  }

  release(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  async write(batch: Batch, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    this.writes++;
    if (this.#gate !== undefined) {
      const aborted = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => aborted.resolve(), { once: true });
      await Promise.race([this.#gate.promise, aborted.promise]);
      signal.throwIfAborted();
    }
    if (this.failing > 0) {
      this.failing--;
      throw new Error('the output of the kit fails on purpose');
    }
    for (const [index, payload] of batch.payloads.entries()) {
      this.payloads.push(Buffer.from(payload));
      this.metadata.push(batch.metadata(index));
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The components of both, and `conformance_refuse`, which rejects the second message that it sees. */
export function testComponents(
  source: TestSource,
  sinks: Readonly<Record<'out' | 'errors', TestSink>>,
): AnyDefinition[] {
  return [
    defineInput({ ...about, type: 'conformance_source', schema: z.strictObject({}), create: () => source }),
    defineOutput({
      ...about,
      type: 'conformance_sink',
      schema: z.strictObject({ sink: z.enum(['out', 'errors']).describe('Which one.') }),
      create: ({ sink }) => sinks[sink],
    }),
    defineProcessor({
      ...about,
      type: 'conformance_refuse',
      schema: z.strictObject({}),
      create() {
        let seen = 0;
        return {
          ordered: true,
          process(batch, { reject }) {
            const first = seen;
            seen += batch.length;
            const index = 1 - first;
            if (index < 0 || index >= batch.length) return [batch];
            reject({ index, error: new MillraceError('MILLRACE_PROCESSOR_FAILED', 'refused by the kit') });
            return [batch.without([index])];
          },
        };
      },
    }),
  ];
}

/** The payload that a dead letter is about. */
export function payloadOf(letter: Uint8Array): Buffer {
  const { payload, encoding } = JSON.parse(Buffer.from(letter).toString()) as {
    readonly payload: string;
    readonly encoding?: string;
  };
  return Buffer.from(payload, encoding === 'base64' ? 'base64' : 'utf8');
}
