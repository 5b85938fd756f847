import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Verdict } from './checker.ts';
import { EngineProcess, type EngineOptions } from './engine.ts';
import type { ArenaOptions, Effort, FaultContext } from './fault-options.ts';
import { Lane } from './lane.ts';
import type { Random } from './random.ts';
import { temporaryFolder } from './remains.ts';
import { configYaml } from './stream-yaml.ts';
import { sleep, until } from './wait.ts';

/** Milliseconds. */
const PATIENCE = 15_000;
const SETTLE = 90_000;

/** An engine with a stream for each mode, for one fault. */
export class Arena {
  readonly lanes: readonly Lane[];
  readonly effort: Effort;
  readonly random: Random;
  readonly progress: (text: string) => void;
  /** Problems of the engine, which count for each of its streams. */
  readonly problems: string[] = [];
  readonly #folder = temporaryFolder();
  readonly #options: ArenaOptions;
  #engine: EngineProcess | undefined;

  constructor({ modes, effort, random, progress }: FaultContext, options: ArenaOptions) {
    this.effort = effort;
    this.random = random;
    this.progress = progress;
    this.#options = options;
    this.lanes = modes.map((mode, index) => {
      const folder = join(this.folder, String(index));
      mkdirSync(folder);
      return new Lane(mode, folder, options);
    });
  }

  /** The stream, for a fault that harms one at a time. */
  get lane(): Lane {
    const [lane, another] = this.lanes;
    if (lane === undefined || another !== undefined) throw new Error(`${this.lanes.length} streams, not 1`);
    return lane;
  }

  /** A place for everything that a fault needs for the engine. */
  get folder(): string {
    return this.#folder.path;
  }

  /** Arguments that limit strace to calls on the segments of the logs. */
  get segmentsOnly(): string[] {
    const segments = this.lanes.flatMap((lane) => lane.segments);
    return ['--seccomp-bpf', ...segments.flatMap((path) => ['-P', path])];
  }

  get #configFile(): string {
    return join(this.folder, 'streams.yaml');
  }

  get engine(): EngineProcess {
    return this.#engine!;
  }

  /** Starts the sinks, the engine and the senders. */
  async open(): Promise<void> {
    const parts = await Promise.all(this.lanes.map((lane) => lane.prepare()));
    writeFileSync(this.#configFile, configYaml(parts));
    await this.startEngine();
    for (const lane of this.lanes) lane.send();
    await this.flows(1);
  }

  /** Starts the engine again, after it has ended. @returns false if it ended before it listened */
  async startEngine(options: EngineOptions = {}): Promise<boolean> {
    this.#engine = new EngineProcess(this.#configFile, { streams: this.lanes.length, ...options });
    const listening = await this.#engine.listening();
    if (!listening && options.strace === undefined && options.mayEnd !== true) {
      throw new Error(`the engine does not start: ${this.#engine.lastWords}`);
    }
    return listening;
  }

  /** Resolves when a few more messages of each stream have been acknowledged. */
  async flows(messages = 50): Promise<void> {
    const goals = this.lanes.map((lane) => ({ lane, goal: lane.acknowledged + messages }));
    await until(
      `${messages} acknowledgements (the log: ${this.engine.lastWords})`,
      () => goals.every(({ lane, goal }) => lane.acknowledged >= goal),
      SETTLE,
    );
  }

  /** Waits for a random time. */
  async pause(from: number, to: number): Promise<void> {
    await sleep(this.random.between(from, to));
  }

  /**
   * Stops sending, waits until everything is acknowledged and has come out, ends the engine, and checks.
   * @returns a verdict for each stream
   */
  async close(): Promise<Verdict[]> {
    if (this.engine.ending !== undefined) await this.startEngine();
    await Promise.all(this.lanes.map((lane) => this.#settle(lane)));
    const ending = await this.engine.terminate();
    if (ending.code !== 0) {
      this.problems.push(`SIGTERM: exit ${ending.code ?? ending.signal}: ${this.engine.lastWords}`);
    }
    return this.lanes.map((lane) => lane.check());
  }

  /** Removes everything, at whatever stage. @returns for each stream, how many writes the sink made fail */
  async remove(): Promise<number[]> {
    await Promise.all(this.lanes.map((lane) => lane.endSenders()));
    await Promise.all(this.lanes.map((lane) => lane.endProxy()));
    if (this.#engine !== undefined && this.#engine.ending === undefined) await this.#engine.kill();
    const failures = await Promise.all(this.lanes.map((lane) => lane.remove()));
    this.#folder.remove();
    return failures;
  }

  async #settle(lane: Lane): Promise<void> {
    await Promise.all(lane.senders.map((sender) => sender.settle(SETTLE))).catch((error: Error) => {
      lane.problems.push(`${error.message}; the log: ${this.engine.lastWords}`);
    });
    await this.#arrival(lane);
    await lane.endSenders();
    for (const text of lane.senders.flatMap(({ strange }) => strange.slice(0, 3))) {
      lane.problems.push(`an acknowledgement of an unsent message: ${text}`);
    }
  }

  /** Resolves when the sink has everything that was acknowledged, or when nothing more arrives. */
  async #arrival(lane: Lane): Promise<void> {
    const { patience = PATIENCE } = this.#options;
    let size = -1;
    let since = performance.now();
    for (;;) {
      await sleep(100);
      const now = lane.arrived;
      if (now !== size) {
        size = now;
        since = performance.now();
        continue;
      }
      if (lane.check().lost.length === 0 || performance.now() - since > patience) return;
    }
  }
}
