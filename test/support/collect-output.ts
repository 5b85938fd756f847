import { z } from 'zod';
import { defineOutput } from '../../src/component/define.ts';
import type { Context } from '../../src/component/context.ts';
import type { Output } from '../../src/component/contracts.ts';
import type { Batch } from '../../src/message/batch.ts';
import type { Ext } from '../../src/message/metadata.ts';
import { textOf } from '../../src/message/text.ts';
import { PATIENCE, until } from './until.ts';

/** A message as an output got it. */
export interface Collected {
  readonly payload: Uint8Array;
  readonly source: string;
  /** Microseconds since the epoch. */
  readonly time: number;
  readonly ext: Ext;
  readonly key?: string | undefined;
  readonly partition?: number | undefined;
  readonly offset?: bigint | undefined;
  /** Microseconds since the epoch. */
  readonly eventTime?: number | undefined;
}

/** The messages of the outputs of one name. It can be held: then a write does not end until it is released. */
export class Collector {
  readonly messages: Collected[] = [];
  /** Writes that have begun; one that is held counts. */
  writes = 0;
  /** Read once: a test asks again and again. */
  readonly #text = once(({ payload }: Collected) => textOf(payload));
  readonly #value = once((message: Collected): unknown => JSON.parse(this.#text(message)));
  #gate: PromiseWithResolvers<void> | undefined;

  hold(): void {
    this.#gate ??= Promise.withResolvers();
  }

  release(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  get texts(): string[] {
    return this.messages.map(this.#text);
  }

  /** Each message as JSON. */
  get values(): unknown[] {
    return this.messages.map(this.#value);
  }

  /** Resolves when there are at least `count` messages, with their texts. */
  async count(count: number, timeout = PATIENCE): Promise<string[]> {
    await until(`${count} messages`, () => this.messages.length >= count, {
      timeout,
      state: () => `${this.messages.length} came: ${JSON.stringify(this.texts.slice(-5)).slice(0, 500)}`,
    });
    return this.texts;
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    this.writes++;
    while (this.#gate !== undefined) {
      await Promise.race([this.#gate.promise, aborted(signal)]);
      signal.throwIfAborted();
    }
    for (const [index, payload] of batch.payloads.entries()) {
      const { source, ingestTime: time, ext, ...others } = batch.metadata(index);
      this.messages.push({ payload, source, time, ext, ...others });
    }
  }
}

/** The output `collect`, whose `name` says which of `collectors` it fills. */
export function collectOutput(collectors: (name: string, context: Context) => Collector) {
  return defineOutput({
    type: 'collect',
    summary: 'Keeps messages for a test.',
    status: 'stable',
    schema: z.strictObject({ name: z.string().default('out') }),
    examples: [],
    create: ({ name }, context): Output => ({
      connect: () => Promise.resolve(),
      write: (batch, { signal }) => collectors(name, context).write(batch, signal),
      close: () => Promise.resolve(),
    }),
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** A function that is asked about each message once. */
function once<T>(read: (message: Collected) => T): (message: Collected) => T {
  const known = new WeakMap<Collected, { readonly value: T }>();
  return (message) => {
    let found = known.get(message);
    if (found === undefined) known.set(message, (found = { value: read(message) }));
    return found.value;
  };
}
