import { spawnSync, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { programs } from './programs.ts';
import { start, temporaryFolder } from './remains.ts';
import { until } from './wait.ts';

const KEPT_LINES = 300;
const START = 60_000;
/** Longer than the engine's own deadline. */
const DRAIN = 60_000;

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  /** The stream that it is about. */
  readonly stream?: string;
  readonly code?: string;
}

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface EngineOptions {
  /** Arguments of strace, to run the engine under it. */
  readonly strace?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The engine may end before it listens. True under strace. */
  readonly mayEnd?: boolean;
  /** How many streams it has; 1 unless given. */
  readonly streams?: number;
}

/** Node's compile cache, so that the many starts cost less. */
let compiled: string | undefined;

/** Starts the engine once and lets it end: a killed one does not leave its compiled code. */
function compile(): string {
  compiled ??= process.env['NODE_COMPILE_CACHE'];
  if (compiled !== undefined) return compiled;
  const { path } = temporaryFolder();
  const file = join(path, 'nothing.yaml');
  writeFileSync(
    file,
    'health_check: { enabled: false }\nstreams: [{ input: { type: memory, messages: [] }, output: { type: drop } }]\n',
  );
  spawnSync(process.execPath, [programs.engine, 'run', file], {
    env: { NODE_COMPILE_CACHE: path },
    stdio: 'ignore',
  });
  compiled = path;
  return path;
}

/** `millrace run FILE` as a process. */
export class EngineProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ending>;
  #ending: Ending | undefined;
  readonly log: LogLine[] = [];
  /** Its output other than log lines. */
  #other = '';
  readonly #streams: number;
  readonly #listening = new Set<string | undefined>();
  #health: string | undefined;

  constructor(file: string, { strace, env = {}, streams = 1 }: EngineOptions = {}) {
    this.#streams = streams;
    const node = [process.execPath, programs.engine, 'run', file];
    // strace counts the calls of each thread separately; with one thread for files it counts them all.
    const threads = strace === undefined ? {} : { UV_THREADPOOL_SIZE: '1' };
    // With -D, the program is our child, and strace a process beside it that ends with it.
    const command =
      strace === undefined ? node : ['strace', '-D', '-f', '-o', '/dev/null', ...strace, ...node];
    this.child = start(command[0]!, command.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: compile(), ...threads, ...env },
    });
    createInterface({ input: this.child.stderr! }).on('line', (line) => this.#read(line));
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('exit', (code, signal) => {
        this.#ending = { code, signal };
        resolve(this.#ending);
      });
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Undefined while it runs. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** True once all its streams listen, false if it ended before. */
  async listening(): Promise<boolean> {
    const all = (): boolean => this.#listening.size === this.#streams;
    await until('the engine to listen', () => all() || this.#ending !== undefined, START);
    return all();
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** Ends it as an operator does. @throws Error if it does not end */
  async terminate(): Promise<Ending> {
    this.child.kill('SIGTERM');
    await until('the engine to end after SIGTERM', () => this.#ending !== undefined, DRAIN);
    return this.#ending!;
  }

  /** The answer of readiness: 200 or 503, and why. */
  async readiness(): Promise<{ status: number; text: string }> {
    return await this.#get('/readiness');
  }

  async metrics(): Promise<string> {
    return (await this.#get('/metrics')).text;
  }

  async #get(path: string): Promise<{ status: number; text: string }> {
    await until('the engine to say where its health is', () => this.#health !== undefined, START);
    const response = await fetch(new URL(path, this.#health), { headers: { connection: 'close' } });
    return { status: response.status, text: await response.text() };
  }

  logged(pattern: RegExp): boolean {
    return this.log.some(({ code = '', msg }) => pattern.test(`${code} ${msg}`));
  }

  /** The end of its output, for a person. */
  get lastWords(): string {
    return [...this.log.slice(-6).map(({ msg }) => msg), this.#other.slice(-1000)].join('\n    ');
  }

  #read(line: string): void {
    if (!line.startsWith('{')) {
      this.#other = (this.#other + line + '\n').slice(-4000);
      return;
    }
    const entryOfLog = JSON.parse(line) as LogLine;
    this.log.push(entryOfLog);
    if (this.log.length > KEPT_LINES) this.log.shift();
    if (entryOfLog.msg.startsWith('listening on ')) this.#listening.add(entryOfLog.stream);
    this.#health ??= /^health on (\S+)/.exec(entryOfLog.msg)?.[1];
  }
}
