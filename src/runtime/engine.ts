import type { Environment } from '../component/context.ts';
import type { Registry } from '../component/registry.ts';
import type { StreamHealth } from '../control/health.ts';
import { SharedListeners } from '../control/listeners.ts';
import { createListenerEvents } from '../telemetry/events.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { RepeatedLines } from '../telemetry/repeated-lines.ts';
import { Directory } from '../websocket/session-directory.ts';
import { buildStream } from './build-stream.ts';
import { dialStreams, type DialReport } from './dial.ts';
import { HealthPort } from './health-port.ts';
import {
  discard,
  drained,
  incomplete,
  leftBy,
  prepareStream,
  recover,
  remarksOf,
  type Member,
  type PrepareProblem,
} from './member.ts';
import type { EnginePlan, StreamPlan } from './plan.ts';
import { StartGate } from './start-gate.ts';
import type { Tap, TapOptions, TapStage } from './tap.ts';
import { StreamScope, type Shared } from './stream-scope.ts';

/** How long streams that others may feed wait for the other streams to drain first. Milliseconds. */
const FEEDERS_FIRST = 5_000;

/** How a run ended. */
export interface Outcome {
  /** Ids of the streams that failed. */
  readonly failed: readonly string[];
  /** The unconfirmed remains, a sentence for each stream that held something. */
  readonly left: readonly string[];
}

/** Runs streams in this process: the streams of a file, and streams that come and go while it runs. */
export class Engine {
  readonly metrics: Metrics = createMetrics();
  readonly #plan: EnginePlan;
  readonly #registry: Registry;
  readonly #logger: Logger;
  readonly #env: Environment;
  readonly #lines = new RepeatedLines();
  readonly #shared: Shared;
  /** In the order of the file; later streams after them. */
  #members: Member[];
  readonly #keepRunning: boolean;
  #running = false;
  #stopping = false;
  #ended = false;
  /** Streams that run, and changes under way. At none, `run` resolves. */
  #busy = 0;
  readonly #idle = Promise.withResolvers<void>();

  /**
   * Makes every component; `prepare` reports those that cannot be made. `env` is the environment for values filled in
   * at run time; by default, that of the process. With `keepRunning`, `run` does not end with the last stream but with
   * `stop` or `abort`.
   */
  constructor(
    plan: EnginePlan,
    options: { registry: Registry; logger: Logger; env?: Environment; keepRunning?: boolean },
  ) {
    const { registry, logger, env = process.env, keepRunning = false } = options;
    this.#plan = plan;
    this.#registry = registry;
    this.#logger = logger;
    this.#env = env;
    this.#keepRunning = keepRunning;
    const events = createListenerEvents(this.metrics, logger, this.#lines);
    const listeners = new SharedListeners({
      onError: (error) => events.listenerFailed(error),
      onRefused: (refusal) => events.requestRefused(refusal),
      onFull: (limits) => events.outOfFiles(limits),
      onTlsFailed: (error, remoteAddress) => events.tlsFailed(error, remoteAddress),
    });
    this.#shared = { listeners, sessions: new Directory(), metrics: this.metrics };
    const gate = new StartGate();
    this.#members = plan.streams.map((stream) => this.#make(stream, gate));
  }

  /**
   * Lets every component check what a schema cannot: whether a query is SQL, or whether two components want one path.
   * Call it before `run`.
   * @returns the mistakes, each with its place in the file
   */
  async prepare(): Promise<PrepareProblem[]> {
    const problems: PrepareProblem[] = [];
    for (const [index, { stream }] of this.#members.entries()) {
      for (const { path, message } of await prepareStream(stream)) {
        problems.push({ path: ['streams', index, ...path], message });
      }
    }
    return problems;
  }

  /** Likely mistakes in the configuration that messages have shown so far, each with its place in the file. */
  remarks(): PrepareProblem[] {
    return this.#members.flatMap(({ stream }, index) =>
      remarksOf(stream).map(({ path, message }) => ({ path: ['streams', index, ...path], message })),
    );
  }

  /** Frees the results of `prepare` if `run` is not called. */
  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => discard(member)));
  }

  /**
   * Resolves when every stream has ended. Rejects if it cannot start at all, because the health address does not belong
   * to this machine.
   */
  async run(): Promise<Outcome> {
    const { health_check: plan } = this.#plan;
    const options = {
      listeners: this.#shared.listeners,
      plan,
      health: () => this.health(),
      metrics: this.metrics.registry,
    };
    const health = plan.enabled ? new HealthPort(options, this.#logger) : undefined;
    await health?.open();
    try {
      await this.#during(async () => {
        const members = this.#members.filter(({ joining }) => !joining);
        this.#running = true;
        if (this.#keepRunning && !this.#stopping) this.#busy++;
        // One after the other, so that only the trial under way can end the process.
        for (const member of members) await recover(member);
        for (const member of members) this.#start(member);
      });
      await this.#idle.promise;
      this.#ended = true;
      const left = this.#members.map((member) => leftBy(member)).filter((each) => each !== undefined);
      const failed: string[] = [];
      for (const {
        plan: { id },
        end,
      } of this.#members)
        if ((await end) === 'failed') failed.push(id);
      return { failed, left };
    } finally {
      await health?.close();
      for (const { scope } of this.#members) scope.lines.flush();
      this.#lines.flush();
    }
  }

  /**
   * Starts another stream, at once if the engine runs.
   * @returns the mistakes in it, each with its place in the stream; if there are any, nothing has changed
   * @throws Error if the engine is stopping
   */
  async add(plan: StreamPlan): Promise<PrepareProblem[]> {
    this.#refuseStopping();
    if (this.#member(plan.id) !== undefined) {
      return [{ path: ['id'], message: `another stream is called ${plan.id}; give each stream its own id` }];
    }
    return await this.#during(async () => {
      const member = this.#make(plan, new StartGate());
      member.joining = true;
      // Take the id at once, before anyone else can.
      this.#members = [...this.#members, member];
      const problems = await prepareStream(member.stream);
      if (problems.length === 0 && !this.#stopping) {
        await this.#launch(member);
        return problems;
      }
      await this.#drop(member);
      return problems;
    });
  }

  /**
   * Replaces the stream that has the new one's id: the old stream drains and ends, then the new one starts and takes
   * over the log. `signal` ends the drain at once.
   * @returns the mistakes in the new one, each with its place in the stream; if there are any, the old one continues
   * @throws Error if there is no such stream, or it is already being changed
   */
  async replace(plan: StreamPlan, { signal }: { signal?: AbortSignal } = {}): Promise<PrepareProblem[]> {
    const old = this.#claim(plan.id);
    return await this.#during(async () => {
      let member: Member;
      try {
        member = this.#make(plan, new StartGate(), old.scope);
      } catch (error) {
        old.leaving = false;
        throw error;
      }
      const problems = await prepareStream(member.stream);
      if (problems.length > 0) {
        await discard(member);
        old.leaving = false;
        return problems;
      }
      await drained(old, signal);
      await old.scope.release({ series: false });
      if (this.#stopping) {
        await discard(member);
        return [];
      }
      this.#members = this.#members.map((each) => (each === old ? member : each));
      await this.#launch(member);
      return [];
    });
  }

  /**
   * Drains a stream and removes it, with everything that it has registered: its paths, sessions, metrics, and the lock
   * of its log. `signal` ends the drain at once.
   * @returns a sentence about unconfirmed messages; undefined if there are none
   * @throws Error if there is no such stream, or it is already being changed
   */
  async remove(id: string, { signal }: { signal?: AbortSignal } = {}): Promise<string | undefined> {
    const member = this.#claim(id);
    return await this.#during(async () => {
      await drained(member, signal);
      const left = leftBy(member);
      await this.#drop(member);
      return left;
    });
  }

  /**
   * Drains every stream and ends; `run` resolves when that is done. Streams that others connect to drain last, because
   * other streams of this file may still be writing to them.
   */
  stop(): void {
    if (this.#stopping) return;
    this.#stop();
    const listening = this.#members.filter(({ stream }) => stream.parts.source.listens);
    const others = this.#members.filter(({ stream }) => !stream.parts.source.listens);
    for (const { stream } of others) stream.drain();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FEEDERS_FIRST);
    });
    void Promise.race([Promise.all(others.map(async ({ end }) => await end)), patience]).then(() => {
      clearTimeout(timer);
      for (const { stream } of listening) stream.drain();
    });
  }

  /**
   * Puts a tap on a stage of a stream, until it is closed or the stream ends.
   * @throws Error if there is no such stream or stage
   */
  tap(id: string, stage: TapStage, options: TapOptions = {}): Tap {
    const point = this.#member(id)?.stream.tapPoint(stage);
    if (point === undefined) throw new Error(`no stream is called ${id}, or it has no stage ${stage}`);
    return point.add(options);
  }

  /** Makes every output close its files and open them again, because someone may have moved them. */
  reopen(): void {
    for (const { stream } of this.#members) {
      stream.parts.sink.reopen();
      stream.parts.errorSink?.reopen();
    }
  }

  /** Ends at once; `run` resolves, and reports the unconfirmed remains. */
  abort(): void {
    this.#stop();
    for (const { stream } of this.#members) stream.parts.abort.abort(incomplete());
  }

  health(): StreamHealth[] {
    const { allowed } = this.#shared.listeners;
    this.metrics.connectionsAllowed.set(Number.isFinite(allowed) ? allowed : 0);
    return this.#members.map(({ stream }) => stream.health());
  }

  /**
   * Connects every input and output once, without retrying, and closes them again. Also checks the path of every log.
   */
  async dial(signal: AbortSignal): Promise<DialReport[]> {
    return await dialStreams(this.#members, signal);
  }

  #make(plan: StreamPlan, gate: StartGate, replaced?: StreamScope): Member {
    const scope = new StreamScope(plan.id, this.#shared, replaced);
    try {
      const { listeners, sessions, lines } = scope;
      const stream = buildStream(plan, {
        registry: this.#registry,
        logger: this.#logger,
        env: this.#env,
        metrics: this.metrics,
        lines,
        listeners,
        sessions,
        secretKeeper: () => scope.secretKeeper(),
        usesMetric: (name) => scope.usesMetric(name),
        gate,
      });
      return { plan, stream, scope, end: undefined, joining: false, leaving: false };
    } catch (error) {
      void scope.release({ series: replaced === undefined });
      throw error;
    }
  }

  async #launch(member: Member): Promise<void> {
    member.joining = false;
    if (!this.#running) return;
    await recover(member);
    this.#start(member);
  }

  #start(member: Member): void {
    this.#busy++;
    member.end = member.stream.run().finally(() => this.#less());
    if (this.#stopping) member.stream.drain();
  }

  async #drop(member: Member): Promise<void> {
    this.#members = this.#members.filter((each) => each !== member);
    if (member.end === undefined) await discard(member);
    await member.scope.release();
  }

  #member(id: string): Member | undefined {
    return this.#members.find(({ plan }) => plan.id === id);
  }

  /** The stream, locked against other changes until it is gone. */
  #claim(id: string): Member {
    this.#refuseStopping();
    const member = this.#member(id);
    if (member === undefined) throw new Error(`no stream is called ${id}`);
    if (member.leaving) throw new Error(`the stream ${id} is already being changed`);
    member.leaving = true;
    return member;
  }

  #refuseStopping(): void {
    if (this.#ended) throw new Error('the engine has ended');
    if (this.#stopping) throw new Error('the engine is stopping');
  }

  #stop(): void {
    if (this.#keepRunning && this.#running && !this.#stopping) this.#less();
    this.#stopping = true;
  }

  async #during<T>(change: () => Promise<T>): Promise<T> {
    this.#busy++;
    try {
      return await change();
    } finally {
      this.#less();
    }
  }

  #less(): void {
    if (--this.#busy === 0 && this.#running) this.#idle.resolve();
  }
}
