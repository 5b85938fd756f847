import { z } from 'zod';
import type { ComponentConfig, Input, InputContext, Source } from '../../component/contracts.ts';
import { defineInput } from '../../component/define.ts';
import { Waker } from '../../component/waker.ts';
import { EndOfInputError } from '../../errors.ts';
import type { Batch } from '../../message/batch.ts';

/** Several inputs as one. */
export const multipleInputsInput = defineInput({
  type: 'multiple_inputs',
  summary: 'Reads several inputs as one; it ends when all have ended.',
  status: 'stable',
  description:
    'Each input connects, and connects again, by itself. Give each a `name` to tell their messages apart: it is their `__meta_source`.',
  schema: (components) =>
    z.strictObject({
      inputs: z
        .array(components.input)
        .min(1)
        .describe('The inputs, each with its own type, name and codec.'),
    }),
  examples: [
    {
      title: 'Two feeds',
      yaml: 'type: multiple_inputs\ninputs:\n  - name: north\n    type: websocket\n    url: ws://north.example.com/feed\n  - name: south\n    type: websocket\n    url: ws://south.example.com/feed\n',
    },
  ],
  create: ({ inputs }, context) => new MultipleInputs(inputs as ComponentConfig[], context),
});

class MultipleInputs implements Input {
  readonly budgeted = true;
  readonly composite = true;
  readonly #sources: readonly Source[];
  /** Sources that are waiting for data or have ended. */
  readonly #reading = new Set<Source>();
  readonly #ready: { source: Source; batch: Batch }[] = [];
  #ended = 0;
  #failure: { error: unknown } | undefined;
  readonly #waker = new Waker();

  constructor(inputs: readonly ComponentConfig[], context: InputContext) {
    this.#sources = inputs.map((input) =>
      context.openSource(input, (input['name'] as string | undefined) ?? context.name),
    );
  }

  get listens(): boolean {
    return this.#sources.some((source) => source.listens);
  }

  /** Each source connects by itself, at its first read. */
  connect(): Promise<void> {
    return Promise.resolve();
  }

  async dial(signal: AbortSignal): Promise<void> {
    for (const source of this.#sources) await source.dial(signal);
  }

  notReady(): string | undefined {
    return this.#sources.map((source) => source.notReady()).find((reason) => reason !== undefined);
  }

  async read(signal: AbortSignal): Promise<Batch> {
    for (const source of this.#sources) this.#start(source, signal);
    for (;;) {
      signal.throwIfAborted();
      const next = this.#ready.shift();
      if (next !== undefined) {
        this.#reading.delete(next.source);
        this.#start(next.source, signal);
        return next.batch;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#ended === this.#sources.length) throw new EndOfInputError();
      await this.#waker.wait(signal);
    }
  }

  drain(): void {
    for (const source of this.#sources) source.drain();
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }

  /** One read of each source is always under way, and at most one batch of each waits. */
  #start(source: Source, signal: AbortSignal): void {
    if (this.#reading.has(source)) return;
    this.#reading.add(source);
    void source.read(signal).then(
      (batch) => {
        this.#ready.push({ source, batch });
        this.#waker.wake();
      },
      (error: unknown) => {
        if (error instanceof EndOfInputError) this.#ended++;
        else this.#failure ??= { error };
        this.#waker.wake();
      },
    );
  }
}
