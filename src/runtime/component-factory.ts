import type { Budget, BudgetLimits } from '../component/budget.ts';
import type {
  ComponentConfig,
  Context,
  Durability,
  Environment,
  Opened,
  Transform,
} from '../component/context.ts';
import type { Codec } from '../component/contracts.ts';
import type { Instances, Kind } from '../component/define.ts';
import type { Framer } from '../component/framing/framer.ts';
import type { Framing } from '../component/framing/framing.ts';
import { openFramer, openUnframer } from '../component/framing/open-framing.ts';
import type { Unframer } from '../component/framing/unframer.ts';
import type { Listeners } from '../component/listeners.ts';
import type { FilledUrls } from '../component/mask.ts';
import { defaultQueue, type QueueConfig, type RetryConfig } from '../component/output-fields.ts';
import type { Registry } from '../component/registry.ts';
import type { SessionDirectory } from '../component/sessions.ts';
import type { StateBudget } from '../component/state-budget.ts';
import type { MillraceError } from '../errors.ts';
import { createComponentMetrics } from '../telemetry/component-metrics.ts';
import { createComponentEvents, type Stage, type StreamEvents } from '../telemetry/events.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { RepeatedLines } from '../telemetry/repeated-lines.ts';
import type { SecretKeeper } from '../telemetry/secrets.ts';
import { StateFolder } from '../delivery/state-folder.ts';
import { broken, mistakeOf } from './broken.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { StreamPlan } from './plan.ts';
import type { Pace } from './pace.ts';
import { Pipeline } from './pipeline.ts';
import { Sink, type SinkOptions } from './sink.ts';
import { SupervisedInput } from './source.ts';
import type { StartGate } from './start-gate.ts';

/** Shared by the components of all streams. */
export interface Surroundings {
  readonly registry: Registry;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly lines: RepeatedLines;
  readonly listeners: Listeners;
  readonly sessions: SessionDirectory;
  /** Makes a keeper for each component. */
  readonly secretKeeper: () => SecretKeeper;
  /** Called with the name of each metric that a component has for itself. */
  readonly usesMetric: (name: string) => void;
  readonly env: Environment;
  readonly gate: StartGate;
}

/** The parts of one stream. `logger` names it. */
interface Parts {
  readonly plan: StreamPlan;
  readonly logger: Logger;
  readonly events: StreamEvents;
  readonly budget: Budget;
  /** The share of `budget` for the part after the log. */
  readonly share: Budget;
  readonly state: StateBudget;
  /** How long the stream's messages gather. */
  readonly pace: Pace;
  readonly durability: () => Durability | undefined;
  /** The destination of rejected messages, of `error_output` or of any other stage. */
  readonly deadLetters: (stage: Stage) => DeadLetters;
  /** Makes dead letters for an output that the stream waits for at its end. */
  readonly addLetters: (sink: Sink) => DeadLetters;
  /** Aborts when the stream ends at once. */
  readonly signal: AbortSignal;
  /** Called when a part has failed for good while nothing was waiting for it. */
  readonly failed: (error: unknown) => void;
}

/** The place of a component in its stream. */
export interface Place {
  readonly stage: Stage;
  /** Distinguishes it from others of the stage: its name or type, after that of its parent. */
  readonly component: string;
  readonly name?: string | undefined;
  /** True if its messages are bytes that nobody has read. */
  readonly undecoded?: boolean;
  /** True if a buffer comes before it. */
  readonly buffered?: boolean;
  /** True if a processor comes after it. */
  readonly followed: boolean;
  /** True if its results are thrown away. */
  readonly trial?: boolean;
  /** True if the next component takes typed rows. */
  readonly takesRows?: boolean;
  /** For what it and its parts reject, if not that of the stream. */
  readonly letters?: DeadLetters | undefined;
}

type OutputPlace = Place & { readonly stage: 'output' | 'error_output' };

/** Makes the components of one stream, each with its context, and the components that they open. */
export class ComponentFactory {
  readonly #surroundings: Surroundings;
  readonly #parts: Parts;
  readonly #events = new Map<Stage, Context['events']>();

  constructor(surroundings: Surroundings, parts: Parts) {
    this.#surroundings = surroundings;
    this.#parts = parts;
  }

  /** Makes a component; one whose `create` throws is `broken`. */
  create<K extends Exclude<Kind, 'framing'>>(kind: K, config: ComponentConfig, place: Place): Instances[K] {
    return wholeOr(
      () => this.#create(kind, config, place),
      (mistake) => broken(mistake) as Instances[K],
    );
  }

  #create<K extends Kind>(kind: K, config: ComponentConfig, place: Place): Instances[K] {
    const definition = this.#surroundings.registry.get(kind, config.type);
    return definition.create(config as never, this.#context(config.type, place)) as Instances[K];
  }

  /** @throws MillraceError if it cannot be made */
  #framing(config: ComponentConfig, place: Place): Framing {
    try {
      return this.#create('framing', config, { ...place, stage: 'codec' });
    } catch (error) {
      throw mistakeOf(error, 'framing');
    }
  }

  input(config: ComponentConfig, place: Place): SupervisedInput {
    const { events, budget, deadLetters, durability } = this.#parts;
    const named = { ...place, name: nameOf(config) ?? place.name };
    return new SupervisedInput({
      ...wholeOr(
        () => ({
          input: this.#create('input', config, named),
          codec: this.#codecOf(config, named),
          unframer: this.#unframerOf(config, named),
        }),
        (mistake) => ({ input: broken(mistake), codec: undefined, unframer: undefined }),
      ),
      type: config.type,
      events,
      budget,
      deadLetters: deadLetters('input'),
      gate: this.#surroundings.gate,
      pace: this.#parts.pace,
      durable: durability() !== undefined,
    });
  }

  output(config: ComponentConfig, at: OutputPlace): Sink {
    const { events, deadLetters, failed } = this.#parts;
    const errors = this.#errorsOf(config, at);
    const place = errors === undefined ? at : { ...at, letters: errors.letters };
    const letters = place.letters ?? deadLetters(place.stage);
    return new Sink({
      ...wholeOr(
        () => ({
          output: this.#create('output', config, place),
          codec: this.#codecOf(config, place),
          framer: this.#framerOf(config, place),
        }),
        (mistake) => ({ output: broken(mistake), codec: undefined, framer: undefined }),
      ),
      name: place.component,
      stage: place.stage,
      events,
      refused: (stage, ...rejected) => letters.reject(stage, ...rejected),
      failed,
      gate: this.#surroundings.gate,
      own: sinkOptions(config),
      errors: errors?.sink,
      dropped: (count) => this.#eventsOf(place.stage).messagesDropped('queue_full', count),
    });
  }

  /** The `error_output` that an output has for itself. */
  #errorsOf(
    { error_output: config }: ComponentConfig,
    at: OutputPlace,
  ): { readonly sink: Sink; readonly letters: DeadLetters } | undefined {
    if (config === undefined) return undefined;
    const { addLetters } = this.#parts;
    // Its own rejections do not go where those of its owner go, which is here.
    const place = { ...at, component: `${at.component}.error_output`, stage: 'error_output' } as const;
    const sink = this.output(config as ComponentConfig, { ...place, letters: undefined });
    return { sink, letters: addLetters(sink) };
  }

  /** The unframer that finds messages in the input's frames, unless the input does that itself. */
  #unframerOf(config: ComponentConfig, place: Place): Unframer | undefined {
    if (this.#surroundings.registry.get('input', config.type).framing !== undefined) return undefined;
    return openUnframer(config, { open: (kind, part) => this.#open(kind, part, place) });
  }

  /** The framer for the output's messages, unless the output does that itself. */
  #framerOf(config: ComponentConfig, place: Place): Framer | undefined {
    if (this.#surroundings.registry.get('output', config.type).framing !== undefined) return undefined;
    return openFramer(config, { open: (kind, part) => this.#open(kind, part, place) });
  }

  #codecOf({ codec }: ComponentConfig, place: Place): Codec | undefined {
    if (codec === undefined) return undefined;
    try {
      return this.#create('codec', codec as ComponentConfig, { ...place, stage: 'codec' });
    } catch (error) {
      throw mistakeOf(error, 'codec');
    }
  }

  #context(type: string, place: Place): Context {
    const { stage, component, name } = place;
    const { metrics, listeners, sessions, env, secretKeeper, usesMetric } = this.#surroundings;
    const { plan, logger, budget, share, state, durability } = this.#parts;
    const opened = new Set<string>();
    return {
      name,
      stream: {
        id: plan.id,
        limits: place.buffered === true ? largestOf(plan, state) : plan.in_flight,
        budget: stage === 'input' ? budget : share,
        stateBudget: state,
        filled: plan.filled ?? NONE_FILLED,
        get durability() {
          return durability();
        },
        undecoded: place.undecoded === true,
        buffered: place.buffered === true,
        followed: place.followed,
        takesRows: place.takesRows === true,
      },
      logger: logger.child({ stage }),
      events: this.#eventsOf(stage),
      metrics: createComponentMetrics(metrics.registry, {
        type,
        labels: { stream: plan.id, stage, component },
        uses: usesMetric,
      }),
      listeners,
      sessions,
      secrets: secretKeeper(),
      state:
        plan.durability?.enabled === true && place.trial !== true
          ? new StateFolder(plan.durability.path, `${stage}.${component}`)
          : undefined,
      env,
      open: (kind, config, options = {}) => {
        const own = nameOf(config) ?? options.name;
        const part = `${component}.${distinct(own ?? config.type, opened)}`;
        return this.#open(kind, config, { ...place, component: part, name: own ?? name });
      },
    };
  }

  #open<K extends keyof Opened>(kind: K, config: ComponentConfig, place: Place): Opened[K] {
    const open: { readonly [E in keyof Opened]: () => Opened[E] } = {
      input: () => this.input(config, { ...place, stage: 'input' }),
      output: () =>
        this.output(config, { ...place, stage: place.stage === 'error_output' ? 'error_output' : 'output' }),
      processor: () => this.#transform(config, place),
      framing: () => this.#framing(config, place),
      codec: () => this.create('codec', config, { ...place, stage: 'codec' }),
    };
    return open[kind]();
  }

  /** Its rejections go where its parent's rejections go. */
  #transform(config: ComponentConfig, place: Place): Transform {
    const { events, deadLetters, failed, signal } = this.#parts;
    const processor = this.create('processor', config, { ...place, stage: 'processor' });
    const pipeline = new Pipeline([{ stage: 'processor', path: [], type: config.type, processor }], {
      deadLetters: place.trial === true ? NOBODY : (place.letters ?? deadLetters(place.stage)),
      signal,
      ...(place.trial !== true && { connections: { events, gate: this.#surroundings.gate, failed } }),
    });
    return {
      async prepare() {
        for (const { error } of await pipeline.prepare()) throw error;
      },
      start: (until) => {
        pipeline.connect(until).catch((error: unknown) => {
          if (!until.aborted) failed(error);
        });
      },
      process: (delivery) => pipeline.process(delivery),
      get flushAt() {
        return pipeline.flushAt;
      },
      flush: async (now) => (await Promise.all(pipeline.flush(now))).flat(),
      notReady: () => pipeline.notReady()[0],
      close: (until) => pipeline.close(until),
    };
  }

  /** One for each stage, because it reports some events only once. */
  #eventsOf(stage: Stage): Context['events'] {
    let events = this.#events.get(stage);
    if (events === undefined) {
      const { metrics, lines } = this.#surroundings;
      const { plan, logger } = this.#parts;
      events = createComponentEvents(metrics, logger, lines, plan.id, stage);
      this.#events.set(stage, events);
    }
    return events;
  }
}

/** The result of `make`, or its replacement if a component cannot be made. */
function wholeOr<T>(make: () => T, replacement: (mistake: MillraceError) => T): T {
  try {
    return make();
  } catch (error) {
    return replacement(mistakeOf(error));
  }
}

/** The engine's options of an output. */
function sinkOptions(config: ComponentConfig): SinkOptions {
  const retry = (config['retry'] ?? {}) as RetryConfig;
  const { max_attempts: attempts = Infinity, max_elapsed: elapsed = Infinity } = retry;
  const isLimited = attempts < Infinity || elapsed < Infinity;
  return {
    limits: isLimited ? { attempts, elapsed } : undefined,
    queue: (config['queue'] ?? defaultQueue) as QueueConfig,
    pauses: { initial: retry.initial, max: retry.max },
  };
}

const NONE_FILLED: FilledUrls = new Map();

/** For trials. */
const NOBODY = { reject: () => {} };

/** `wanted`, with a number appended if it is taken; from now on the result is taken. */
export function distinct(wanted: string, taken: Set<string>): string {
  let free = wanted;
  for (let number = 2; taken.has(free); number++) free = `${wanted}-${number}`;
  taken.add(free);
  return free;
}

function nameOf(config: ComponentConfig): string | undefined {
  return config['name'] as string | undefined;
}

/** A buffer may return everything that it keeps as one batch. */
function largestOf({ in_flight: { bytes } }: StreamPlan, { limits, hasFiles }: StateBudget): BudgetLimits {
  const kept = limits.memory + (hasFiles ? limits.disk : 0);
  return { messages: Infinity, bytes: Math.max(bytes, kept) };
}
