import { z } from 'zod';
import type { ComponentConfig, Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { defineOutput } from '../../../component/define.ts';
import { Branches, type Branch } from '../../../component/inner-outputs.ts';
import { declareErrors, MillraceError, type Rejection } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import type { Conditions, Condition } from './conditions.ts';
import { Match, type MatchConfig } from './match.ts';

/** The code of messages that no case is for. */
export const switchErrors = declareErrors({
  MILLRACE_SWITCH_UNMATCHED: {
    help: 'No case of a `switch` is for a message, there is no `default`, and `unmatched: reject` asks for its rejection. It went to `error_output`.',
    told: 'nothing is configured for the message',
  },
});

/** A bit for each. */
const MAX_CASES = 31;

const match = z
  .record(z.string().min(1), z.union([z.string(), z.array(z.string()).min(1)]))
  .refine((value) => Object.keys(value).length > 0, 'nothing to match; expected a name and a value');

const caseFields = {
  when: z
    .string()
    .min(1)
    .optional()
    .describe(
      "An SQL condition over the columns that the processor `sql` has for a message: `price > 10`, `kind = 'order' AND __meta_source = 'eu'`. A message that lacks a column has NULL there, for which a comparison is not true.",
    ),
  match: match
    .optional()
    .describe(
      'Metadata that a message must have: the value, or one of several, of `__meta_source`, `__meta_key`, or an entry of `__meta_ext` such as `param.room`. It needs no SQL.',
    ),
  continue: z
    .boolean()
    .default(false)
    .describe('Whether a message of this case is compared with the cases after it as well.'),
};

/** Each message to the outputs of its cases. */
export const switchOutput = defineOutput({
  type: 'switch',
  summary: 'Writes each message to the output of the case that it matches.',
  status: 'beta',
  framing: 'none',
  description: `Cases are compared in order, and a message goes to the first that it matches; with \`continue\`, to later ones as well. Each output connects, retries and keeps the order of its messages by itself. One that is slow or away holds the others back only when its \`queue\` is full.

All conditions of a \`switch\` are one query over each batch. A message on which a condition fails goes to \`error_output\` alone.`,
  schema: (components) =>
    z.strictObject({
      cases: z
        .array(
          z
            .strictObject({ ...caseFields, output: components.output.describe('Where its messages go.') })
            .superRefine(({ when, match: wanted }, context) => {
              if ((when === undefined) !== (wanted === undefined)) return;
              const message = 'a case has either `when` or `match`; expected one of the two';
              context.addIssue({ code: 'custom', path: [], message });
            }),
        )
        .min(1)
        .max(MAX_CASES)
        .describe('The cases, in order.'),
      default: components.output.optional().describe('Where messages of no case go.'),
      unmatched: z
        .enum(['drop', 'reject'])
        .default('drop')
        .describe(
          'The policy for messages of no case, without `default`: they are dropped on purpose, and counted in `millrace_messages_dropped_total` with the reason `no_match`, or rejected with MILLRACE_SWITCH_UNMATCHED.',
        ),
    }),
  examples: [
    {
      title: 'Large orders to a server, the others to a file',
      yaml: "type: switch\ncases:\n  - when: kind = 'order' AND amount >= 1000\n    output:\n      type: websocket\n      url: wss://desk.example.com/in\n  - when: kind = 'order'\n    output:\n      type: file\n      path: ./orders.jsonl\nunmatched: reject\n",
    },
    {
      title: 'By metadata, and everything to an archive as well',
      yaml: 'type: switch\ncases:\n  - match: { param.room: [lobby, help] }\n    continue: true\n    output:\n      type: websocket\n      mode: server\n      port: 8081\n      path: /staff\n  - when: "true"\n    output:\n      type: file\n      path: ./archive.jsonl\n',
    },
  ],
  create: (config, context) => new SwitchOutput(config as SwitchConfig, context),
});

interface SwitchConfig {
  readonly cases: readonly {
    readonly when?: string | undefined;
    readonly match?: MatchConfig | undefined;
    readonly continue: boolean;
    readonly output: ComponentConfig;
  }[];
  readonly default?: ComponentConfig | undefined;
  readonly unmatched: 'drop' | 'reject';
}

class SwitchOutput implements Output {
  readonly maxInFlight = Infinity;
  readonly identified: boolean;
  readonly takes: 'rows' | undefined;
  readonly toClients: boolean;
  readonly #config: SwitchConfig;
  readonly #context: Context;
  /** Those of the cases, in order, and the default. */
  readonly #branches: Branches;
  readonly #matches: readonly { readonly match: Match; readonly bit: number }[];
  #conditions: Promise<Conditions> | undefined;
  #opened: Conditions | undefined;

  constructor(config: SwitchConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    const { cases, default: rest } = config;
    const branches: Branch[] = cases.map(({ output }, index) => ({
      destination: context.open('output', output),
      field: `cases.${index}.output`,
    }));
    if (rest !== undefined) branches.push({ destination: context.open('output', rest), field: 'default' });
    this.#branches = new Branches(branches);
    this.#matches = cases.flatMap(({ match: wanted }, index) =>
      wanted === undefined ? [] : [{ match: new Match(wanted), bit: 2 ** index }],
    );
    this.identified = this.#branches.identified;
    this.takes = this.#branches.takes;
    this.toClients = this.#branches.toClients;
  }

  async prepare(): Promise<void> {
    await this.#open();
    await this.#branches.prepare();
  }

  /** Each output connects by itself. */
  connect(signal: AbortSignal): Promise<void> {
    this.#branches.start(signal);
    return Promise.resolve();
  }

  dial(signal: AbortSignal): Promise<void> {
    return this.#branches.dial(signal);
  }

  async write(batch: Batch, call: WriteCall): Promise<WriteResult> {
    const { signal } = call;
    const refused: Rejection[] = [];
    await this.#branches.inTurn(async () => {
      const writes: Promise<void>[] = [];
      for (const [branch, places] of await this.#route(batch, refused, signal)) {
        const part = places.length === batch.length ? undefined : places;
        const given = part === undefined ? batch : batch.select(part);
        await branch.destination.room(given, signal);
        writes.push(this.#branches.write(branch, given, call, part));
      }
      return writes;
    });
    return { refused };
  }

  notReady(): string | undefined {
    return this.#opened?.notReady() ?? this.#branches.notReady();
  }

  reopen(): void {
    this.#branches.reopen();
  }

  async close(signal: AbortSignal): Promise<void> {
    const conditions = await this.#conditions?.catch(() => undefined);
    await Promise.all([conditions?.close(), this.#branches.close(signal)]);
  }

  /** The places of the messages for each output. */
  async #route(
    batch: Batch,
    refused: Rejection[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<Branch, readonly number[]>> {
    const marks = new Uint32Array(batch.length);
    for (const { match: wanted, bit } of this.#matches) wanted.mark(batch, marks, bit);
    await (await this.#open())?.mark(batch, marks, (rejection) => refused.push(rejection), signal);
    const gone = new Set(refused.map(({ index }) => index));
    const routes = new Map<Branch, number[]>();
    const unmatched: number[] = [];
    for (const [index, marked] of marks.entries()) {
      if (gone.has(index)) continue;
      let isFound = false;
      for (const [at, each] of this.#config.cases.entries()) {
        if ((marked & (2 ** at)) === 0) continue;
        isFound = true;
        add(routes, this.#branches.all[at]!, index);
        if (!each.continue) break;
      }
      if (!isFound) unmatched.push(index);
    }
    if (unmatched.length > 0) this.#leave(unmatched, routes, refused);
    return routes;
  }

  /** Messages of no case. */
  #leave(places: number[], routes: Map<Branch, number[]>, refused: Rejection[]): void {
    const { cases, default: rest, unmatched } = this.#config;
    if (rest !== undefined) routes.set(this.#branches.all[cases.length]!, places);
    else if (unmatched === 'drop') this.#context.events.messagesDropped('no_match', places.length);
    else {
      // Creating an error is slow, so the messages share one.
      const error = new MillraceError(
        switchErrors.MILLRACE_SWITCH_UNMATCHED,
        'no case is for the message, and there is no `default`',
      );
      for (const index of places) refused.push({ index, error });
    }
  }

  #open(): Promise<Conditions> | undefined {
    const { cases } = this.#config;
    const conditions = cases.flatMap(({ when }, index): Condition[] =>
      when === undefined ? [] : [{ sql: when, bit: 2 ** index, field: `cases.${index}.when` }],
    );
    if (conditions.length === 0) return undefined;
    this.#conditions ??= this.#create(conditions);
    return this.#conditions;
  }

  async #create(conditions: readonly Condition[]): Promise<Conditions> {
    const { Conditions: Opened } = await import('./conditions.ts');
    const first = !this.#config.cases.some((each) => each.continue);
    this.#opened = await Opened.open(conditions, { first, limits: this.#context.stream.limits });
    return this.#opened;
  }
}

function add(routes: Map<Branch, number[]>, branch: Branch, index: number): void {
  const places = routes.get(branch);
  if (places === undefined) routes.set(branch, [index]);
  else places.push(index);
}
