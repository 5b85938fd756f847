import { hash } from 'node:crypto';
import { inspect } from 'node:util';
import { Budget } from '../component/budget.ts';
import type {
  Codec,
  ComponentConfig,
  ComponentContext,
  Durability,
  Environment,
  InputContext,
  OutputContext,
  Processor,
  Source,
} from '../component/contracts.ts';
import type { Kind } from '../component/define.ts';
import type { Listeners } from '../component/listeners.ts';
import type { Registry } from '../component/registry.ts';
import type { SessionDirectory } from '../component/sessions.ts';
import {
  createComponentEvents,
  createStreamEvents,
  type Stage,
  type StreamEvents,
} from '../telemetry/events.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { RepeatedLines } from '../telemetry/repeated-lines.ts';
import { version } from '../telemetry/version.ts';
import type { LogOptions } from '../delivery/log/log.ts';
import { DeadLetters } from './dead-letters.ts';
import { shareOfPipeline } from './backlog.ts';
import { DurableSource } from './durable-source.ts';
import { Pipeline } from './pipeline.ts';
import type { DurabilityPlan, StreamPlan } from './plan.ts';
import { Sink, type RefusedHandler } from './sink.ts';
import { SupervisedInput } from './source.ts';
import type { StartGate } from './start-gate.ts';
import { Stream } from './stream.ts';

export interface Surroundings {
  readonly registry: Registry;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly lines: RepeatedLines;
  readonly listeners: Listeners;
  readonly sessions: SessionDirectory;
  readonly env: Environment;
  readonly gate: StartGate;
}

/** Makes a stream's components and wires them; nothing connects yet. */
export function buildStream(plan: StreamPlan, surroundings: Surroundings): Stream {
  const { registry, metrics, lines, listeners, sessions, env, gate } = surroundings;
  const logger = surroundings.logger.child({ stream: plan.id });
  const events = createStreamEvents(metrics, logger, lines, plan.id);
  const abort = new AbortController();
  const budget = new Budget(plan.in_flight);
  const durable = plan.durability?.enabled === true;
  // A buffer gives on what it holds when no more will come because of it.
  const share = durable ? shareOfPipeline(budget) : budget;
  const stageEvents = new Map<Stage, ComponentContext['events']>();

  const context = (stage: Stage): ComponentContext => {
    let component = stageEvents.get(stage);
    if (component === undefined) {
      component = createComponentEvents(metrics, logger, lines, plan.id, stage);
      stageEvents.set(stage, component);
    }
    return { streamId: plan.id, logger, events: component };
  };
  const create = <K extends Kind>(kind: K, config: ComponentConfig, own: unknown) =>
    registry.get(kind, config.type).create(config as never, own as never) as ReturnType<
      ReturnType<typeof registry.get<K>>['create']
    >;
  const codecOf = (config: ComponentConfig): Codec | undefined =>
    config['codec'] === undefined
      ? undefined
      : create('codec', config['codec'] as ComponentConfig, context('codec'));

  const sinkOf = (
    stage: 'output' | 'error_output',
    config: ComponentConfig,
    refused: RefusedHandler,
  ): Sink => {
    const outputContext: OutputContext = {
      ...context(stage),
      listeners,
      sessions,
      env,
      lost: (error) => made.lost(error),
    };
    const made = new Sink({
      output: create('output', config, outputContext),
      codec: codecOf(config),
      type: config.type,
      stage,
      events,
      refused,
      failed: (error) => abort.abort(error),
      gate,
    });
    return made;
  };

  // A message that even error_output refuses has only the log left.
  const lastResort = new DeadLetters({ events, sink: undefined, signal: abort.signal, failed: () => {} });
  const errorSink =
    plan.error_output &&
    sinkOf('error_output', plan.error_output, (stage, batch, rejections) =>
      lastResort.reject(stage, batch, rejections),
    );
  const deadLetters = new DeadLetters({
    events,
    sink: errorSink,
    signal: abort.signal,
    failed: (error) => abort.abort(error),
  });
  const sink = sinkOf('output', plan.output, (stage, batch, rejections) =>
    deadLetters.reject(stage, batch, rejections),
  );

  let durability: Durability | undefined;
  const openSource = (config: ComponentConfig, name: string | undefined): Source => {
    const inputContext: InputContext = {
      ...context('input'),
      name: name ?? (config['name'] as string | undefined),
      budget,
      durability,
      listeners,
      sessions,
      env,
      openSource,
    };
    return new SupervisedInput({
      input: create('input', config, inputContext),
      codec: codecOf(config),
      type: config.type,
      events,
      budget,
      deadLetters,
      gate,
      durable: durability !== undefined,
    });
  };
  const processors = (): { type: string; processor: Processor }[] =>
    plan.pipeline.processors.map((config, index, all) => ({
      type: config.type,
      processor: create('processor', config, {
        ...context('processor'),
        inFlight: plan.in_flight,
        followed: index < all.length - 1,
      }),
    }));
  const trials = {
    pipeline: hash(
      'sha256',
      inspect([version(), process.version, plan.pipeline.processors], WHOLE),
      'base64',
    ),
    // Nothing comes of what is only tried.
    create: (signal: AbortSignal) =>
      new Pipeline(processors(), { deadLetters: { reject: () => {} }, signal }),
  };
  const sourceOf = (): Source => {
    const options = logOptions(plan.durability, events);
    if (options === undefined) return openSource(plan.input, undefined);
    const source = (log: Durability): Source => {
      durability = log;
      return openSource(plan.input, undefined);
    };
    return new DurableSource({ source, options, budget, share, deadLetters, events, trials });
  };

  return new Stream({
    id: plan.id,
    source: sourceOf(),
    buffer: plan.buffer && create('buffer', plan.buffer, { ...context('buffer'), budget: share }),
    pipeline: new Pipeline(processors(), { deadLetters, signal: abort.signal }),
    sink,
    errorSink,
    deadLetters,
    budget,
    durable,
    events,
    threads: plan.pipeline.thread_num,
    abort,
    input: plan.input.type,
    output: plan.output.type,
  });
}

const WHOLE = { depth: null, maxArrayLength: null, maxStringLength: null };
const SYNC_INTERVAL = 1_000;

function logOptions(plan: DurabilityPlan | undefined, events: StreamEvents): LogOptions | undefined {
  if (plan?.enabled !== true) return undefined;
  const { path, sync, interval = SYNC_INTERVAL, max_bytes: maxBytes } = plan;
  return { path, sync, interval, maxBytes, events: events.log };
}
