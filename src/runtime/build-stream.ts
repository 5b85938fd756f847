import { hash } from 'node:crypto';
import { inspect } from 'node:util';
import { Budget } from '../component/budget.ts';
import type { Durability, Source } from '../component/context.ts';
import type { Processor } from '../component/contracts.ts';
import { createStreamEvents, type StreamEvents } from '../telemetry/events.ts';
import { version } from '../telemetry/version.ts';
import type { LogOptions } from '../delivery/log/log.ts';
import { ComponentFactory, distinct, type Surroundings } from './component-factory.ts';
import { DeadLetters } from './dead-letters.ts';
import { shareOfPipeline } from './backlog.ts';
import { DurableSource } from './durable-source.ts';
import { Pipeline } from './pipeline.ts';
import type { DurabilityPlan, StreamPlan } from './plan.ts';
import { Stream } from './stream.ts';

/** Makes a stream's components and wires them; nothing connects yet. */
export function buildStream(plan: StreamPlan, surroundings: Surroundings): Stream {
  const { metrics, lines } = surroundings;
  const logger = surroundings.logger.child({ stream: plan.id });
  const events = createStreamEvents(metrics, logger, lines, plan.id);
  const abort = new AbortController();
  const failed = (error: unknown): void => abort.abort(error);
  const budget = new Budget(plan.in_flight);
  const durable = plan.durability?.enabled === true;
  // A buffer gives on what it holds when no more will come because of it.
  const share = durable ? shareOfPipeline(budget) : budget;
  let durability: Durability | undefined;
  const factory = new ComponentFactory(surroundings, {
    plan,
    logger,
    events,
    budget,
    share,
    durability: () => durability,
    deadLetters: (stage) => (stage === 'error_output' ? lastResort : deadLetters),
    signal: abort.signal,
    failed,
  });
  const followed = plan.pipeline.processors.length > 0;

  // A message that even error_output refuses has only the log left.
  const lastResort = new DeadLetters({ events, sink: undefined, signal: abort.signal, failed: () => {} });
  const errorSink =
    plan.error_output &&
    factory.output(plan.error_output, {
      stage: 'error_output',
      component: plan.error_output.type,
      followed: false,
    });
  const deadLetters = new DeadLetters({ events, sink: errorSink, signal: abort.signal, failed });
  const sink = factory.output(plan.output, { stage: 'output', component: plan.output.type, followed: false });

  const inputOf = (): Source => {
    const name = plan.input['name'] as string | undefined;
    return factory.input(plan.input, { stage: 'input', component: name ?? plan.input.type, followed });
  };
  const processors = (trial = false): { type: string; processor: Processor }[] => {
    const taken = new Set<string>();
    const components = plan.pipeline.processors.map(({ type }) => distinct(type, taken));
    // What each gives depends on what comes after it.
    let { takes } = sink;
    return plan.pipeline.processors
      .map((config, index, all) => ({
        config,
        component: components[index]!,
        last: index === all.length - 1,
      }))
      .toReversed()
      .map(({ config, component, last }) => {
        const place = {
          stage: 'processor',
          component,
          followed: !last,
          takesRows: takes === 'rows',
          trial,
        } as const;
        const processor = factory.create('processor', config, place);
        ({ takes } = processor);
        return { type: config.type, processor };
      })
      .toReversed();
  };
  const trials = {
    pipeline: hash(
      'sha256',
      inspect([version(), process.version, plan.pipeline.processors], WHOLE),
      'base64',
    ),
    // Nothing comes of what is only tried.
    create: (signal: AbortSignal) =>
      new Pipeline(processors(true), { deadLetters: { reject: () => {} }, signal }),
  };
  const sourceOf = (): Source => {
    const options = logOptions(plan.durability, events);
    if (options === undefined) return inputOf();
    const source = (log: Durability): Source => {
      durability = log;
      return inputOf();
    };
    return new DurableSource({ source, options, budget, share, deadLetters, events, trials });
  };

  return new Stream({
    id: plan.id,
    source: sourceOf(),
    buffer:
      plan.buffer &&
      factory.create('buffer', plan.buffer, { stage: 'buffer', component: plan.buffer.type, followed }),
    pipeline: new Pipeline(processors(), {
      deadLetters,
      signal: abort.signal,
      connections: { events, gate: surroundings.gate, failed },
    }),
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

function logOptions(plan: DurabilityPlan | undefined, events: StreamEvents): LogOptions | undefined {
  if (plan?.enabled !== true) return undefined;
  const { path, sync, interval, max_bytes: maxBytes } = plan;
  return { path, sync, interval, maxBytes, events: events.log };
}
