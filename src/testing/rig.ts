import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { AnyDefinition } from '../component/define.ts';
import { Registry } from '../component/registry.ts';
import { components } from '../components/index.ts';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import type { StreamHealth } from '../control/health.ts';
import { Engine } from '../runtime/engine.ts';
import { createLogger } from '../telemetry/logger.ts';
import { payloadOf, testComponents, TestSink, TestSource } from './ends-of-stream.ts';
import { must, MESSAGES } from './messages.ts';
import { Patience } from './patience.ts';
import type { Fields, Subject } from './subject.ts';
import { watched, type Around } from './watch.ts';

/** The id of the stream under test. */
export const STREAM = 'conformance';

const OUT = { type: 'conformance_sink', sink: 'out' };
const SOURCE = { type: 'conformance_source' };

/** The subject of a case: a definition, with the facts from its author. */
export interface Tried {
  readonly definition: AnyDefinition;
  readonly subject: Subject;
}

/** The parts of a stream as a file has them. */
export type Parts = Readonly<Record<string, unknown>>;

/** A component in a stream of a real engine, loaded from a real file, between the kit's ends. A case has one. */
export class Rig {
  readonly source = new TestSource();
  readonly sink = new TestSink();
  readonly errors = new TestSink();
  readonly patience: Patience;
  readonly subject: Subject;
  /** The instances that were made, without what watches them. */
  readonly instances: object[] = [];
  /** The source of each `${…}` of the file. */
  env: Readonly<Record<string, string | undefined>> = process.env;
  /** Everything that was logged. */
  log = '';
  readonly #definition: AnyDefinition;
  readonly #folder = mkdtempSync(join(tmpdir(), 'millrace-conformance-'));
  readonly #engines: Engine[] = [];
  readonly #runs: Promise<unknown>[] = [];
  #fields: Fields = {};
  around: Around = (_method, _args, call) => call();
  /** How often the component has settled a receipt that was settled already. */
  settledTwice = 0;

  constructor({ definition, subject }: Tried) {
    this.#definition = definition;
    this.subject = subject;
    this.patience = patienceOf(subject);
  }

  get messages(): readonly string[] {
    return this.subject.messages ?? MESSAGES;
  }

  /** Their results. */
  get expected(): readonly string[] {
    return this.subject.result ?? this.messages;
  }

  /** The component as it stands in the file. */
  get component(): Fields {
    return { type: this.#definition.type, ...this.subject.config, ...this.#fields };
  }

  get engine(): Engine {
    return this.#engines.at(-1)!;
  }

  async start(): Promise<void> {
    const { peer } = this.subject;
    this.#fields = (await peer?.start()) ?? {};
    this.source.ext = () => peer?.ext?.() ?? {};
  }

  /** Loads the file of a stream that has `component` at its place. @throws ConfigError */
  async load(component: Fields = this.component, parts: Parts = {}): Promise<LoadedConfig> {
    const file = join(this.#folder, 'stream.yaml');
    const error_output = { ...OUT, sink: 'errors' };
    const stream = {
      id: STREAM,
      error_output,
      ...placed(this.#definition, component, this.subject),
      ...parts,
    };
    const streams = [stream, ...(this.subject.beside?.() ?? [])];
    writeFileSync(file, stringify({ health_check: { enabled: false }, streams }));
    return await loadConfig(file, { registry: this.#registry(), env: this.env });
  }

  /** An engine that has the stream, not running. */
  async idle(component?: Fields, parts?: Parts): Promise<Engine> {
    const { plan, registry } = await this.load(component, parts);
    return this.#engine(new Engine(plan, { registry, logger: this.#logger() }));
  }

  /** Starts the stream, in an engine that goes on when it has ended. */
  async run(parts?: Parts): Promise<void> {
    const { plan, registry } = await this.load(this.component, parts);
    const options = { registry, logger: this.#logger(), keepRunning: true };
    const engine = this.#engine(new Engine({ ...plan, streams: [] }, options));
    const run = engine.run();
    run.catch(() => {});
    this.#runs.push(run);
    // Those beside the component's own come first, which may need them.
    for (const stream of plan.streams.toReversed()) {
      const problems = await engine.add(stream);
      must(problems.length === 0, `it has mistakes: ${problems.map(({ message }) => message).join('; ')}`);
    }
  }

  /** Starts the stream, once its peer and it are connected. */
  async runConnected(parts?: Parts): Promise<void> {
    await this.run(parts);
    await this.connected();
  }

  async connected(): Promise<void> {
    await this.patience.ends('connecting to the peer', Promise.resolve(this.subject.peer?.connected?.()));
  }

  /** Sends messages through the stream, from the peer or from the kit's input. */
  async send(messages: readonly (string | Uint8Array)[]): Promise<void> {
    if (this.#definition.kind !== 'input') this.source.give(messages);
    else await this.subject.peer?.push?.(messages as readonly string[]);
  }

  /** The messages that came out of the stream. */
  async out(): Promise<readonly string[]> {
    if (this.#definition.kind !== 'output') return this.sink.texts;
    return (await this.subject.peer?.arrived?.()) ?? [];
  }

  /** The messages that went to `error_output`. */
  get refused(): Buffer[] {
    return this.errors.payloads.map(payloadOf);
  }

  get state(): string {
    return this.#health?.state ?? 'gone';
  }

  /** Resolves when the stream has ended by itself. */
  async ended(): Promise<void> {
    await this.patience.until(
      'the stream ends',
      () => ['ended', 'failed', 'gone'].includes(this.state),
      () => `It is ${this.state}; ${this.reasons().join('; ')}`,
    );
    must(this.state !== 'failed', `the stream has failed: ${this.reasons().join('; ')}`);
  }

  reasons(): readonly string[] {
    return this.#health?.reasons ?? [];
  }

  get #health(): StreamHealth | undefined {
    return this.engine.health().find(({ id }) => id === STREAM);
  }

  /** Drains the stream and removes it, and holds that nothing is left of what it took in. */
  async drained(): Promise<void> {
    const left = await this.patience.ends('the stream, which is to drain,', this.engine.remove(STREAM));
    must(left === undefined, `messages were taken in and not seen to: ${left}`);
  }

  /** Ends everything at once. */
  async close(): Promise<void> {
    this.sink.release();
    for (const engine of this.#engines) engine.abort();
    try {
      await this.patience.promptly('the stream, which was aborted,', Promise.allSettled(this.#runs));
      for (const engine of this.#engines.splice(0)) await engine.close();
    } finally {
      await this.patience.ends('`stop` of the peer', Promise.resolve(this.subject.peer?.stop()));
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }

  #engine(engine: Engine): Engine {
    this.#engines.push(engine);
    return engine;
  }

  #logger() {
    const write = (line: string): void => void (this.log += line);
    return createLogger({ level: 'trace', format: 'json' }, { write });
  }

  #registry(): Registry {
    const tried = watched(this.#definition, {
      made: (instance) => void this.instances.push(instance),
      around: (method, args, call) => this.around(method, args, call),
      settledTwice: () => void this.settledTwice++,
    });
    const ends = testComponents(this.source, { out: this.sink, errors: this.errors });
    return registryWith(tried, this.subject.also).with(ends);
  }
}

/** The components of Millrace with another one, which may be in the place of one of them. */
export function registryWith(definition: AnyDefinition, also: readonly AnyDefinition[] = []): Registry {
  const others = components.filter(({ kind, type }) => kind !== definition.kind || type !== definition.type);
  return new Registry([...others, ...also, definition]);
}

export function patienceOf({ patience = 20_000 }: Subject): Patience {
  return new Patience(patience);
}

/** Runs a case in a rig of its own. */
export async function inRig(tried: Tried, act: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = new Rig(tried);
  try {
    await rig.start();
    await act(rig);
  } catch (error) {
    await rig.close().catch(() => {});
    throw error;
  }
  await rig.close();
}

/** A stream that has the component at its place. */
export function placed({ kind }: AnyDefinition, component: Fields, { codec }: Subject = {}): Parts {
  const source = { ...SOURCE, ...(codec !== undefined && { codec: { type: codec } }) };
  if (kind === 'input') return { input: component, output: OUT };
  if (kind === 'output') return { input: source, output: component };
  if (kind === 'processor') return { input: source, pipeline: { processors: [component] }, output: OUT };
  if (kind === 'buffer') return { input: source, buffer: component, output: OUT };
  if (kind === 'codec')
    return { input: { ...SOURCE, codec: component }, output: { ...OUT, codec: component } };
  return { input: SOURCE, output: { ...OUT, framing: component } };
}

/** A stream that finds messages in frames. */
export function unframing(component: Fields): Parts {
  return { input: { ...SOURCE, framing: component }, output: OUT };
}
