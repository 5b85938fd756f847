import { z } from 'zod';
import type { ComponentConfig, Context } from '../../component/context.ts';
import type { Output, WriteCall, WriteOrder } from '../../component/contracts.ts';
import { defineOutput } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { Branches, GaveUpError } from '../../component/inner-outputs.ts';
import { errorMessage } from '../../errors.ts';
import type { Batch } from '../../message/batch.ts';

/** To one output, and to the next while that fails. */
export const fallbackOutput = defineOutput({
  type: 'fallback',
  summary: 'Writes to the first of several outputs that works.',
  status: 'beta',
  framing: 'none',
  description: `Messages go to the first output. When that has failed on them for \`after\`, or \`max_attempts\` times, they go to the next, and later messages go there at once. After \`back_after\`, if the earlier output is connected, one batch is tried there again: if that succeeds, the others follow. When the last output has failed as well, the first is next.

A message that an output was writing when it was given up may be in both. Messages keep their order in each output, and not between them. Readiness is that of the output in use; the log says when another takes over.`,
  schema: (components) =>
    z.strictObject({
      outputs: z
        .array(components.output)
        .min(2)
        .describe('The outputs, the preferred one first. Give those of one type a `name`.'),
      after: duration('s', { min: 1 })
        .default(30_000)
        .describe(
          'How long a message may wait for one output, from the first attempt. An attempt that is under way then is cut off.',
        ),
      max_attempts: z
        .int()
        .min(1)
        .optional()
        .describe(
          'How many attempts to write a message, or to connect for it, may fail at one output. Without it, only `after` counts.',
        ),
      back_after: duration('s', { min: 1 })
        .default(30_000)
        .describe('How long an output that has failed is left alone.'),
    }),
  examples: [
    {
      title: 'A server, and a file while it is away',
      yaml: 'type: fallback\nafter: 10s\noutputs:\n  - type: websocket\n    url: wss://hub.example.com/in\n  - type: file\n    path: ./while-away.jsonl\n',
    },
  ],
  create: (config, context) => new FallbackOutput(config as FallbackConfig, context),
});

interface FallbackConfig {
  readonly outputs: readonly ComponentConfig[];
  readonly after: number;
  readonly max_attempts?: number | undefined;
  readonly back_after: number;
}

const ORDERS: readonly WriteOrder[] = ['none', 'key', 'stream'];

class FallbackOutput implements Output {
  readonly maxInFlight: number;
  readonly order: WriteOrder;
  readonly identified: boolean;
  readonly takes: 'rows' | undefined;
  readonly toClients: boolean;
  readonly #config: FallbackConfig;
  readonly #context: Context;
  readonly #branches: Branches;
  /** When each output may be tried again, in milliseconds of `performance.now()`. */
  readonly #restUntil: number[];
  /** The output in use. */
  #current = 0;
  #probing = false;

  constructor(config: FallbackConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    const { outputs } = config;
    this.#branches = new Branches(
      outputs.map((each, index) => ({
        destination: context.open('output', each),
        field: `outputs.${index}`,
      })),
    );
    const all = this.#branches.all.map(({ destination }) => destination);
    this.#restUntil = all.map(() => 0);
    this.maxInFlight = Math.min(...all.map((each) => each.maxInFlight));
    this.order = all
      .map(({ order }) => order)
      .toSorted((a, b) => ORDERS.indexOf(a) - ORDERS.indexOf(b))
      .at(-1)!;
    this.identified = this.#branches.identified;
    this.takes = this.#branches.takes;
    this.toClients = this.#branches.toClients;
  }

  prepare(): Promise<void> {
    return this.#branches.prepare();
  }

  /** Each output connects by itself. */
  connect(signal: AbortSignal): Promise<void> {
    this.#branches.start(signal);
    return Promise.resolve();
  }

  dial(signal: AbortSignal): Promise<void> {
    return this.#branches.dial(signal);
  }

  async write(batch: Batch, call: WriteCall): Promise<void> {
    const { all } = this.#branches;
    let places: readonly number[] | undefined;
    for (let at = this.#earlier() ?? this.#current; ;) {
      // One batch finds out whether it works again.
      const probes = at < this.#current;
      const limits = {
        attempts: probes ? 1 : (this.#config.max_attempts ?? Infinity),
        elapsed: this.#config.after,
      };
      try {
        const part = places === undefined ? batch : batch.select(places);
        this.#probing ||= probes;
        await this.#branches.write(all[at]!, part, { ...call, limits }, places);
        if (probes) this.#use(at, 'works again');
        return;
      } catch (error) {
        if (!(error instanceof GaveUpError)) throw error;
        const before = places;
        places = before === undefined ? error.left : error.left.map((index) => before[index]!);
        this.#restUntil[at] = performance.now() + this.#config.back_after;
        if (probes) at = this.#current;
        else {
          // Another batch may have seen it first.
          if (this.#current === at) {
            const why = `takes over: ${all[at]!.destination.name} ${errorMessage(error)}`;
            this.#use((at + 1) % all.length, why);
          }
          at = this.#current;
        }
      } finally {
        if (probes) this.#probing = false;
      }
    }
  }

  notReady(): string | undefined {
    return this.#branches.all[this.#current]!.destination.notReady();
  }

  reopen(): void {
    this.#branches.reopen();
  }

  close(signal: AbortSignal): Promise<void> {
    return this.#branches.close(signal);
  }

  /** An output before the one in use that may work again. */
  #earlier(): number | undefined {
    if (this.#probing || this.#current === 0) return undefined;
    const now = performance.now();
    const at = this.#branches.all.findIndex(
      ({ destination }, index) =>
        index < this.#current && destination.connected && now >= this.#restUntil[index]!,
    );
    return at < 0 ? undefined : at;
  }

  #use(at: number, why: string): void {
    this.#current = at;
    const { name } = this.#branches.all[at]!.destination;
    this.#context.events.noticed({ output: name }, `${name} ${why}`);
  }
}
