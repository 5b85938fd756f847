import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { segmentName, segmentNumber } from '../src/delivery/log/format.ts';
import { check, type Ledger, type Verdict } from './checker.ts';
import { EngineProcess, type EngineOptions } from './engine.ts';
import type { ArenaOptions, Effort, FaultContext, Mode } from './fault-options.ts';
import { ResettingProxy } from './proxy.ts';
import type { Random } from './random.ts';
import { freePort, mountMemory, temporaryFolder } from './remains.ts';
import { Sender } from './sender.ts';
import { SinkProcess } from './sink.ts';
import { streamYaml } from './stream-yaml.ts';
import { sleep, until } from './wait.ts';

const SESSIONS = 6;
const WINDOW = 300;
const RATE = 400;
/** Milliseconds. */
const PATIENCE = 15_000;
const SETTLE = 90_000;

/** A stream with its senders and its sink, for one fault in one mode. */
export class Arena {
  readonly mode: Mode;
  readonly effort: Effort;
  readonly random: Random;
  readonly progress: (text: string) => void;
  readonly ledger: Ledger = new Map();
  readonly senders: Sender[] = [];
  /** Problems other than a loss. */
  readonly problems: string[] = [];
  readonly #folder = temporaryFolder();
  readonly #options: ArenaOptions;
  #port = 0;
  #engine: EngineProcess | undefined;
  #sink: SinkProcess | undefined;
  #proxy: ResettingProxy | undefined;
  #unmount: (() => void) | undefined;

  constructor({ mode, effort, random, progress }: FaultContext, options: ArenaOptions) {
    this.mode = mode;
    this.effort = effort;
    this.random = random;
    this.progress = progress;
    this.#options = options;
  }

  /** The file with the stream's output. */
  get sinkFile(): string {
    return join(this.#folder.path, 'sink.jsonl');
  }

  /** A place for everything else that a fault needs. */
  get folder(): string {
    return this.#folder.path;
  }

  /** The address to which senders send. */
  get url(): string {
    return `ws://127.0.0.1:${this.#port}/in`;
  }

  get logFolder(): string {
    return join(this.#folder.path, 'disk', 'log');
  }

  /**
   * Arguments that limit strace to calls on the log's segments: the present ones, and the next ones. The log also
   * writes a mark that it can do without.
   */
  get segmentsOnly(): string[] {
    const numbers = readdirSync(this.logFolder).flatMap((name) => segmentNumber(name) ?? []);
    const next = Math.max(0, ...numbers) + 1;
    const paths = [...numbers, next, next + 1, next + 2].map((number) =>
      join(this.logFolder, segmentName(number)),
    );
    return ['--seccomp-bpf', ...paths.flatMap((path) => ['-P', path])];
  }

  get configFile(): string {
    return join(this.#folder.path, 'stream.yaml');
  }

  get engine(): EngineProcess {
    return this.#engine!;
  }

  get sink(): SinkProcess {
    return this.#sink!;
  }

  get proxy(): ResettingProxy {
    return this.#proxy!;
  }

  get acknowledged(): number {
    return Array.from(this.ledger.values(), ({ acknowledged }) => acknowledged.size).reduce(
      (a, b) => a + b,
      0,
    );
  }

  /** Starts the sink, the engine and the senders. */
  async open(): Promise<void> {
    const { output = 'file', failEvery, proxy = false, disk } = this.#options;
    const folder = join(this.#folder.path, 'disk');
    mkdirSync(folder);
    if (disk !== undefined) this.#unmount = mountMemory(folder, disk);
    if (output !== 'file') this.#sink = await SinkProcess.start(this.sinkFile, failEvery);
    if (this.#options.absent === true) await this.sink.kill();
    const port = await freePort();
    writeFileSync(this.configFile, this.#config(port));
    if (proxy) this.#proxy = await ResettingProxy.start(port);
    await this.startEngine();
    this.#port = this.#proxy?.port ?? port;
    const { url } = this;
    for (let index = 0; index < (this.#options.sessions ?? SESSIONS); index++) {
      const session = `s${index}`;
      const record = { sent: 0, acknowledged: new Set<number>() };
      this.ledger.set(session, record);
      this.senders.push(
        new Sender({ session, url, record, window: WINDOW, rate: this.#options.rate ?? RATE }),
      );
    }
    await this.flows(1);
  }

  /** Starts the engine again, after it has ended. @returns false if it ended before it listened */
  async startEngine(options: EngineOptions = {}): Promise<boolean> {
    this.#engine = new EngineProcess(this.configFile, options);
    const listening = await this.#engine.listening();
    if (!listening && options.strace === undefined && options.mayEnd !== true) {
      throw new Error(`the engine does not start: ${this.#engine.lastWords}`);
    }
    return listening;
  }

  /** Resolves when a few more messages have been acknowledged. */
  async flows(messages = 50): Promise<void> {
    const goal = this.acknowledged + messages;
    await until(
      `${messages} acknowledgements (the log: ${this.engine.lastWords})`,
      () => this.acknowledged >= goal,
      SETTLE,
    );
  }

  /** Fills the disk of the log up to the last byte. */
  fillDisk(): void {
    const file = openSync(this.#filler, 'a');
    const chunk = Buffer.alloc(4096);
    try {
      for (;;) writeSync(file, chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  freeDisk(): void {
    rmSync(this.#filler);
  }

  get #filler(): string {
    return join(this.logFolder, '..', 'filler');
  }

  /** Waits for a random time. */
  async pause(from: number, to: number): Promise<void> {
    await sleep(this.random.between(from, to));
  }

  /** Stops sending, waits until everything is acknowledged and has come out, ends the engine, and checks. */
  async close(): Promise<Verdict> {
    if (this.engine.ending !== undefined) await this.startEngine();
    await Promise.all(this.senders.map((sender) => sender.settle(SETTLE))).catch((error: Error) => {
      this.problems.push(`${error.message}; the log: ${this.engine.lastWords}`);
    });
    await this.#arrival();
    for (const sender of this.senders) {
      await sender.end();
      for (const text of sender.strange.slice(0, 3))
        this.problems.push(`an acknowledgement of an unsent message: ${text}`);
    }
    const ending = await this.engine.terminate();
    if (ending.code !== 0) {
      this.problems.push(`SIGTERM: exit ${ending.code ?? ending.signal}: ${this.engine.lastWords}`);
    }
    return this.check();
  }

  check(): Verdict {
    const text = existsSync(this.sinkFile) ? readFileSync(this.sinkFile, 'utf8') : '';
    return check(this.ledger, text.split('\n'));
  }

  /** Removes everything, at whatever stage. @returns how many writes the sink made fail */
  async remove(): Promise<number> {
    await Promise.all(this.senders.map((sender) => sender.end()));
    await this.#proxy?.end();
    if (this.#engine !== undefined && this.#engine.ending === undefined) await this.#engine.kill();
    this.#sink?.resume();
    const failures = await this.#sink?.end();
    this.#unmount?.();
    this.#folder.remove();
    return failures ?? 0;
  }

  /** Resolves when the sink has everything that was acknowledged, or when nothing more arrives. */
  async #arrival(): Promise<void> {
    const { patience = PATIENCE } = this.#options;
    let size = -1;
    let since = performance.now();
    for (;;) {
      await sleep(100);
      const now = existsSync(this.sinkFile) ? statSync(this.sinkFile).size : 0;
      if (now !== size) {
        size = now;
        since = performance.now();
        continue;
      }
      if (this.check().lost.length === 0 || performance.now() - since > patience) return;
    }
  }

  #config(port: number): string {
    const { output = 'file', input, stream, durability } = this.#options;
    const outputs = {
      file: `type: file, path: "${this.sinkFile}"`,
      websocket: `type: websocket, url: "${this.#sink?.url}/each"`,
      confirmed: `type: confirmed, url: "${this.#sink?.url}/confirmed"`,
    };
    const { mode, logFolder: log } = this;
    const fields = typeof stream === 'function' ? stream(this.folder) : stream;
    return streamYaml({ mode, port, log, output: outputs[output], durability, input, stream: fields });
  }
}
