import { pino } from 'pino';
import type { Environment } from '../../src/component/context.ts';
import { Registry } from '../../src/component/registry.ts';
import { components } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problem.ts';
import { Engine, type Outcome } from '../../src/runtime/engine.ts';
import type { PrepareProblem } from '../../src/runtime/member.ts';
import type { EnginePlan, StreamPlan } from '../../src/runtime/plan.ts';
import type { Tap, TapOptions, TapStage } from '../../src/runtime/tap.ts';
import { afterTest } from './cleanup.ts';
import { Collector, collectOutput } from './collect-output.ts';
import { until } from './until.ts';

/** A log line, parsed. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly stream?: string;
  readonly stage?: string;
  readonly code?: string | number;
  readonly [field: string]: unknown;
}

const running = new Set<Run>();

/** Each by the environment that it gave its engine, which every component gets. */
const runs = new WeakMap<Environment, Run>();

/** One for all runs: schemas are put together once. */
const registry = new Registry([...components, collectOutput((name, { env }) => runs.get(env)!.output(name))]);

/** The mistakes of a file's text, one a line without its position; empty when it has none. */
export function configMistakes(yaml: string): string[] {
  try {
    parse(yaml, {});
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
}

/** Runs the text of a file, as `millrace run` does. It is stopped after the test, if the test does not. */
export async function startEngine(
  yaml: string,
  env: Record<string, string> = {},
  { keepRunning = false } = {},
): Promise<Run> {
  const run = new Run(yaml, env, keepRunning);
  running.add(run);
  afterTest(abortRunning);
  await run.start();
  return run;
}

async function abortRunning(): Promise<void> {
  await Promise.all([...running].map((run) => run.abort()));
}

/** A running engine, seen from outside. */
export class Run {
  readonly log: LogLine[] = [];
  /** Resolves when every stream has ended. */
  ended: Promise<Outcome> = Promise.resolve({ failed: [], left: [] });
  readonly #engine: Engine;
  readonly #env: Environment;
  readonly #collectors = new Map<string, Collector>();

  constructor(yaml: string, env: Record<string, string>, keepRunning: boolean) {
    this.#env = { ...env };
    runs.set(this.#env, this);
    const plan = parse(yaml, env);
    const logger = pino(
      { level: 'trace', base: null },
      { write: (line: string) => void this.log.push(JSON.parse(line) as LogLine) },
    );
    this.#engine = new Engine(plan, { registry, logger, env: this.#env, keepRunning });
  }

  async start(): Promise<void> {
    const problems = await this.#engine.prepare();
    if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('\n'));
    this.ended = this.#engine.run();
    this.ended.catch(() => {});
  }

  /** The messages of the output `{ type: collect, name }`. */
  output(name = 'out'): Collector {
    let collector = this.#collectors.get(name);
    if (collector === undefined) {
      collector = new Collector();
      this.#collectors.set(name, collector);
    }
    return collector;
  }

  /** The URL that a stream's server input says it listens on. */
  async url(stream = 'stream-0'): Promise<string> {
    const line = await this.logged(/^listening on /, (each) => each.stream === stream);
    return String(line['url']);
  }

  async port(stream?: string): Promise<number> {
    return Number(new URL(await this.url(stream)).port);
  }

  /** Resolves with the first log line whose message matches. */
  async logged(message: RegExp, also: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    return await until(
      `the log line ${String(message)}`,
      () => this.log.find((line) => message.test(line.msg) && also(line)),
      { state: () => `the log ends: ${this.#logEnd()}` },
    );
  }

  /** Resolves when an input has connected, or listens. */
  async connected(stream = 'stream-0'): Promise<void> {
    await this.logged(/^input \S+ connected$/, (line) => line.stream === stream);
  }

  /** The answer to `GET path` on the health address. */
  async http(path: string): Promise<{ status: number; text: string }> {
    const { msg } = await this.logged(/^health on /);
    // A connection of its own: one that is kept may be closed by the server just when it is used again.
    const headers = { connection: 'close' };
    const response = await fetch(new URL(path, msg.slice('health on '.length)), { headers });
    return { status: response.status, text: await response.text() };
  }

  /**
   * The value of a metric, 0 where there is none; `labels` as they stand in `/metrics`. It is asked of the registry,
   * because tests ask again and again; those of the health server ask for the page.
   */
  async metric(name: string, ...labels: string[]): Promise<number> {
    // Some are set when health is asked for.
    this.#engine.health();
    return metricIn(await this.#engine.metrics.registry.metrics(), name, labels);
  }

  /** Resolves when the metric has the value. */
  async metricIs(value: number, name: string, ...labels: string[]): Promise<void> {
    let last = 0;
    await until(`${name} to be ${value}`, async () => (last = await this.metric(name, ...labels)) === value, {
      state: () => `it is ${last}; the log ends: ${this.#logEnd()}`,
    });
  }

  /** Resolves when nothing is in flight. */
  async idle(stream = 'stream-0', timeout = 30_000): Promise<void> {
    await until('nothing to be in flight', async () => (await this.inFlight(stream)).messages === 0, {
      timeout,
    });
  }

  /** The messages and bytes that the stream holds, from received to confirmed. */
  async inFlight(stream = 'stream-0'): Promise<{ messages: number; bytes: number }> {
    const label = `stream="${stream}"`;
    return {
      messages: await this.metric('millrace_in_flight_messages', label),
      bytes: await this.metric('millrace_in_flight_bytes', label),
    };
  }

  /** Begins to drain, as SIGTERM does. */
  drain(): void {
    this.#engine.stop();
  }

  /** Adds a stream, given as the text of a file with that one. @returns the mistakes, each as `path: message` */
  async add(yaml: string): Promise<string[]> {
    return told(await this.#engine.add(this.#stream(yaml)));
  }

  /** Puts it in the place of the one of its id. */
  async replace(yaml: string, signal?: AbortSignal): Promise<string[]> {
    return told(await this.#engine.replace(this.#stream(yaml), { ...(signal && { signal }) }));
  }

  tap(id: string, stage: TapStage, options?: TapOptions): Tap {
    return this.#engine.tap(id, stage, options);
  }

  /** @returns the unfinished streams */
  async remove(id: string, signal?: AbortSignal): Promise<string | undefined> {
    return await this.#engine.remove(id, { ...(signal && { signal }) });
  }

  #stream(yaml: string): StreamPlan {
    return parse(yaml, this.#env).streams[0]!;
  }

  /** Opens files again, as SIGHUP does. */
  reopen(): void {
    this.#engine.reopen();
  }

  /** Drains, and resolves with how it ended. */
  async stop(): Promise<Outcome> {
    this.#engine.stop();
    const outcome = await this.ended;
    running.delete(this);
    return outcome;
  }

  /** Ends at once. Outputs that are held are released, unless told otherwise. */
  async abort(options: { release?: boolean } = {}): Promise<void> {
    running.delete(this);
    if (options.release ?? true) for (const collector of this.#collectors.values()) collector.release();
    this.#engine.abort();
    await this.ended.catch(() => {});
  }

  #logEnd(): string {
    return this.log
      .slice(-8)
      .map(({ msg }) => msg)
      .join(' | ');
  }
}

function told(problems: readonly PrepareProblem[]): string[] {
  return problems.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

function metricIn(text: string, name: string, labels: readonly string[]): number {
  const line = text
    .split('\n')
    .find((each) => /^[^ {]+/.exec(each)?.[0] === name && labels.every((label) => each.includes(label)));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
}

/** The text's plan; health is served on a port of its own choice, so that tests can run side by side. */
function parse(yaml: string, env: Environment): EnginePlan {
  const plan = parseConfig(yaml, { registry, env, file: 'test.yaml' });
  return { ...plan, health_check: { ...plan.health_check, address: '127.0.0.1:0' } };
}
