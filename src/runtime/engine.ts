import type { Environment } from '../component/contracts.ts';
import type { Registry } from '../component/registry.ts';
import { MillraceError, errorMessage } from '../errors.ts';
import type { StreamHealth } from '../control/health.ts';
import { SharedListeners } from '../control/listeners.ts';
import { plural } from '../plural.ts';
import { createListenerEvents } from '../telemetry/events.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { RepeatedLines } from '../telemetry/repeated-lines.ts';
import { Directory } from '../websocket/session-directory.ts';
import { buildStream } from './build-stream.ts';
import { HealthPort } from './health-port.ts';
import type { EnginePlan } from './plan.ts';
import { StartGate } from './start-gate.ts';
import type { Stream } from './stream.ts';

/** How long streams that others may feed wait for the other streams to drain first. Milliseconds. */
const FEEDERS_FIRST = 5_000;

/** What `millrace check --dial` says of one component. */
export interface DialReport {
  readonly stream: string;
  readonly stage: 'input' | 'output' | 'error_output' | 'durability';
  /** Of the component; of a log its path. */
  readonly type: string;
  /** Undefined when it connected, or the log can be opened. */
  readonly error?: Error;
}

/** A mistake that only a component itself can see. */
export interface PrepareProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** How a run ended. */
export interface Outcome {
  /** Ids of the streams that failed. */
  readonly failed: readonly string[];
  /** What was left unconfirmed, a sentence for each stream that held something. */
  readonly left: readonly string[];
}

/** Runs the streams of one file in this process. */
export class Engine {
  readonly metrics: Metrics = createMetrics();
  readonly #plan: EnginePlan;
  readonly #logger: Logger;
  readonly #lines = new RepeatedLines();
  readonly #listeners: SharedListeners;
  readonly #streams: readonly Stream[];
  /** How each stream ends, once it runs. */
  readonly #ends = new Map<Stream, Promise<'ended' | 'failed'>>();
  #stopping = false;

  /**
   * Makes every component; throws what a component says of its configuration. `env` is the environment for what is
   * filled in at run time; without it, that of the process.
   */
  constructor(plan: EnginePlan, options: { registry: Registry; logger: Logger; env?: Environment }) {
    this.#plan = plan;
    this.#logger = options.logger;
    const events = createListenerEvents(this.metrics, options.logger, this.#lines);
    this.#listeners = new SharedListeners({
      onError: (error) => events.listenerFailed(error),
      onRefused: (refusal) => events.requestRefused(refusal),
      onFull: (limits) => events.outOfFiles(limits),
      onTlsFailed: (error, remoteAddress) => events.tlsFailed(error, remoteAddress),
    });
    const { registry, logger, env = process.env } = options;
    const sessions = new Directory();
    const surroundings = {
      registry,
      logger,
      env,
      metrics: this.metrics,
      lines: this.#lines,
      listeners: this.#listeners,
      sessions,
      gate: new StartGate(),
    };
    this.#streams = plan.streams.map((stream) => buildStream(stream, surroundings));
  }

  /**
   * Lets every component check what a schema cannot (whether a query is SQL, whether two want one path). Call it before `run`.
   * @returns the mistakes, each with its place in the file
   */
  async prepare(): Promise<PrepareProblem[]> {
    const problems: PrepareProblem[] = [];
    for (const [index, stream] of this.#streams.entries()) {
      const { source, pipeline, sink, errorSink } = stream.parts;
      const report = (place: readonly (string | number)[], error: unknown): void => {
        const field = error instanceof MillraceError ? (error.field?.split('.') ?? []) : [];
        const parts = field.map((part) => (/^\d+$/.test(part) ? Number(part) : part));
        problems.push({ path: ['streams', index, ...place, ...parts], message: errorMessage(error) });
      };
      await source.prepare().catch((error: unknown) => report(['input'], error));
      for (const { index: place, error } of await pipeline.prepare()) {
        report(['pipeline', 'processors', place], error);
      }
      await sink.prepare().catch((error: unknown) => report(['output'], error));
      await errorSink?.prepare().catch((error: unknown) => report(['error_output'], error));
    }
    return problems;
  }

  /** Frees what `prepare` made, where `run` is not called. */
  async close(): Promise<void> {
    await Promise.all(this.#streams.map((stream) => stream.parts.pipeline.close()));
  }

  /** Resolves when every stream has ended. Rejects when it cannot start at all: the health address is none of this machine's. */
  async run(): Promise<Outcome> {
    const { health_check: plan } = this.#plan;
    const options = {
      listeners: this.#listeners,
      plan,
      health: () => this.health(),
      metrics: this.metrics.registry,
    };
    const health = plan.enabled ? new HealthPort(options, this.#logger) : undefined;
    await health?.open();
    try {
      // One after the other, so that what ends the process is what was being tried.
      for (const { parts } of this.#streams) await parts.source.recover?.(parts.abort.signal);
      for (const stream of this.#streams) this.#ends.set(stream, stream.run());
      const states = await Promise.all(this.#ends.values());
      const failed = this.#streams.filter((_, index) => states[index] === 'failed');
      return {
        failed: failed.map((stream) => stream.parts.id),
        left: failed
          .filter((stream) => stream.parts.budget.messages > 0)
          .map(({ parts: { id, budget, durable } }) => {
            const kept = durable ? '; what the log has of them comes first at the next start' : '';
            return `${id}: ${plural(budget.messages, 'message')} not confirmed${kept}`;
          }),
      };
    } finally {
      await health?.close();
      this.#lines.flush();
    }
  }

  /**
   * Drains every stream and ends; `run` resolves when that is done. Streams that others connect to go last, because
   * other streams of this file may still be writing to them.
   */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const listening = this.#streams.filter((stream) => stream.parts.source.listens);
    const others = this.#streams.filter((stream) => !stream.parts.source.listens);
    for (const stream of others) stream.drain();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FEEDERS_FIRST);
    });
    void Promise.race([
      Promise.all(others.map(async (stream) => await this.#ends.get(stream))),
      patience,
    ]).then(() => {
      clearTimeout(timer);
      for (const stream of listening) stream.drain();
    });
  }

  /** Has every output close its files and open them again, because somebody may have moved them. */
  reopen(): void {
    for (const { parts } of this.#streams) {
      parts.sink.reopen();
      parts.errorSink?.reopen();
    }
  }

  /** Ends at once; `run` resolves, and says what was left. */
  abort(): void {
    for (const stream of this.#streams) {
      stream.parts.abort.abort(
        new MillraceError('MILLRACE_SHUTDOWN_INCOMPLETE', 'stopped before it had drained'),
      );
    }
  }

  health(): StreamHealth[] {
    const { allowed } = this.#listeners;
    this.metrics.connectionsAllowed.set(Number.isFinite(allowed) ? allowed : 0);
    return this.#streams.map((stream) => stream.health());
  }

  /** Connects every input and output once, without retrying, and closes them again; and looks at every log's path. */
  async dial(signal: AbortSignal): Promise<DialReport[]> {
    const parts = this.#streams.flatMap((stream, index) => {
      const plan = this.#plan.streams[index]!;
      const { id, source, sink, errorSink } = stream.parts;
      return [
        { stream: id, stage: 'input', part: source, type: plan.input.type },
        { stream: id, stage: 'output', part: sink, type: plan.output.type },
        { stream: id, stage: 'error_output', part: errorSink, type: plan.error_output?.type ?? '' },
      ] as const;
    });
    const dialAll = async (inputs: boolean): Promise<DialReport[]> => {
      const dialed = parts
        .filter(({ stage, part }) => (stage === 'input') === inputs && part !== undefined)
        .map(({ part, ...component }) => reportOf(component, () => part!.dial(signal)));
      return await Promise.all(dialed);
    };
    try {
      const logs = await this.#dialLogs();
      // Inputs first, and nothing closes before the end: an output may write to an input of the same file.
      return [...logs, ...(await dialAll(true)), ...(await dialAll(false))];
    } finally {
      // Outputs first: they take their leave of inputs of the same file.
      const inputs = parts.filter(({ stage }) => stage === 'input');
      const outputs = parts.filter(({ stage }) => stage !== 'input');
      for (const some of [outputs, inputs])
        await Promise.all(some.map(async ({ part }) => await part?.close()));
    }
  }

  async #dialLogs(): Promise<DialReport[]> {
    const reports: DialReport[] = [];
    for (const [index, { parts }] of this.#streams.entries()) {
      const { id, source } = parts;
      if (source.dialLog === undefined) continue;
      const log = {
        stream: id,
        stage: 'durability',
        type: this.#plan.streams[index]!.durability!.path,
      } as const;
      reports.push(await reportOf(log, () => source.dialLog!()));
    }
    return reports;
  }
}

async function reportOf(component: DialReport, dial: () => Promise<void>): Promise<DialReport> {
  try {
    await dial();
    return component;
  } catch (error) {
    return { ...component, error: error instanceof Error ? error : new Error(errorMessage(error)) };
  }
}
