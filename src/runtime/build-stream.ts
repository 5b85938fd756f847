import { hash } from 'node:crypto';
import { inspect } from 'node:util';
import { join } from 'node:path';
import { Budget } from '../component/budget.ts';
import type { ComponentConfig, Durability, Source } from '../component/context.ts';
import { StateBudget } from '../component/state-budget.ts';
import { createStreamEvents, type StreamEvents } from '../telemetry/events.ts';
import { version } from '../telemetry/version.ts';
import type { LogOptions } from '../delivery/log/log-options.ts';
import { ComponentFactory, distinct, type Surroundings } from './component-factory.ts';
import { DeadLetters } from './dead-letters.ts';
import { shareOfPipeline } from './backlog.ts';
import { DurableSource } from './durable-source.ts';
import { Pace } from './pace.ts';
import { Pipeline, type Operator } from './pipeline.ts';
import type { DurabilityPlan, StreamPlan } from './plan.ts';
import type { Sink } from './sink.ts';
import { Stream } from './stream.ts';

/** Makes a stream's components and wires them; nothing connects yet. */
export function buildStream(plan: StreamPlan, surroundings: Surroundings): Stream {
  const { registry, metrics, lines } = surroundings;
  const logger = surroundings.logger.child({ stream: plan.id });
  const events = createStreamEvents(metrics, logger, lines, plan.id);
  const abort = new AbortController();
  const failed = (error: unknown): void => abort.abort(error);
  const budget = new Budget(plan.in_flight);
  const durable = plan.durability?.enabled === true;
  const share = durable ? shareOfPipeline(budget) : budget;
  const state = new StateBudget(
    plan.state,
    plan.durability?.enabled === true ? join(plan.durability.path, 'windows') : undefined,
  );
  const pace = new Pace();
  let durability: Durability | undefined;
  const factory = new ComponentFactory(surroundings, {
    plan,
    logger,
    events,
    budget,
    share,
    state,
    pace,
    durability: () => durability,
    deadLetters: (stage) => (stage === 'error_output' ? lastResort : deadLetters),
    addLetters: (errors) => addLetters(errors),
    signal: abort.signal,
    failed,
  });
  const followed = plan.pipeline.processors.length > 0;

  // A message that even error_output refuses has only the log left.
  const lastResort = new DeadLetters({ events, sink: undefined, signal: abort.signal, failed: () => {} });
  const letters: DeadLetters[] = [];
  const addLetters = (errors: Sink | undefined): DeadLetters => {
    const added = new DeadLetters({ events, sink: errors, signal: abort.signal, failed });
    letters.push(added);
    return added;
  };
  const errorSink =
    plan.error_output &&
    factory.output(plan.error_output, {
      stage: 'error_output',
      component: nameOf(plan.error_output),
      followed: false,
    });
  const deadLetters = addLetters(errorSink);
  const sink = factory.output(plan.output, {
    stage: 'output',
    component: nameOf(plan.output),
    followed: false,
  });

  const inputOf = (): Source => {
    return factory.input(plan.input, { stage: 'input', component: nameOf(plan.input), followed });
  };
  const processors = (trial = false): Operator[] => {
    const taken = new Set<string>();
    const components = plan.pipeline.processors.map(({ type }) => distinct(type, taken));
    // The form of a processor's results depends on the next component.
    let { takes } = sink;
    return plan.pipeline.processors
      .map((config, index, all) => ({
        config,
        index,
        component: components[index]!,
        last: index === all.length - 1,
        buffered:
          plan.buffer !== undefined || all.slice(0, index).some(({ type }) => registry.isBuffer(type)),
      }))
      .toReversed()
      .map(({ config, index, component, last, buffered }): Operator => {
        const place = {
          stage: 'processor',
          component,
          followed: !last,
          undecoded: index === 0 && registry.givesBytes(plan.input),
          buffered,
          takesRows: takes === 'rows',
          trial,
        } as const;
        const processor = factory.create('processor', config, place);
        ({ takes } = processor);
        const path = ['pipeline', 'processors', index];
        return { stage: 'processor', path, type: config.type, processor };
      })
      .toReversed();
  };
  const trials = {
    pipeline: hash(
      'sha256',
      inspect([version(), process.version, plan.pipeline.processors], WHOLE),
      'base64',
    ),
    // Results of trials are thrown away.
    create: (signal: AbortSignal) =>
      new Pipeline(processors(true), { deadLetters: { reject: () => {} }, signal }),
  };
  const operators = processors();
  if (plan.buffer !== undefined) {
    const { type } = plan.buffer;
    const next = operators[0]?.processor ?? sink;
    const takesRows = next.takes === 'rows';
    const place = { stage: 'buffer', component: type, followed, takesRows } as const;
    const processor = factory.create('buffer', plan.buffer, place);
    operators.unshift({ stage: 'buffer', path: ['buffer'], type, processor });
  }
  // Only ordered processors keep messages.
  const kept = operators.some(({ processor }) => processor.ordered === true) ? plan.state.memory : 0;
  const sourceOf = (): Source => {
    const options = logOptions(plan.durability, events);
    if (options === undefined) return inputOf();
    const source = (log: Durability): Source => {
      durability = log;
      return inputOf();
    };
    const separate = sink.identified;
    return new DurableSource({ source, options, budget, share, kept, separate, deadLetters, events, trials });
  };

  return new Stream({
    id: plan.id,
    source: sourceOf(),
    pipeline: new Pipeline(operators, {
      deadLetters,
      signal: abort.signal,
      connections: { events, gate: surroundings.gate, failed },
    }),
    sink,
    errorSink,
    letters,
    budget,
    share,
    state,
    pace,
    durable,
    events,
    threads: plan.pipeline.thread_num,
    abort,
    input: plan.input.type,
    output: plan.output.type,
  });
}

function nameOf({ type, name }: ComponentConfig): string {
  return (name as string | undefined) ?? type;
}

const WHOLE = { depth: null, maxArrayLength: null, maxStringLength: null };

function logOptions(plan: DurabilityPlan | undefined, events: StreamEvents): LogOptions | undefined {
  if (plan?.enabled !== true) return undefined;
  const { path, sync, interval, max_bytes: maxBytes } = plan;
  return { path, sync, interval, maxBytes, events: events.log };
}
