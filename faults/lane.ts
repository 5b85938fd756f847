import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { segmentName, segmentNumber } from '../src/delivery/log/format.ts';
import { check, type Ledger, type Verdict } from './checker.ts';
import type { ArenaOptions, Mode } from './fault-options.ts';
import { ResettingProxy } from './proxy.ts';
import { freePort, mountMemory } from './remains.ts';
import { Sender } from './sender.ts';
import { SinkProcess } from './sink.ts';
import type { StreamParts } from './stream-yaml.ts';

const SESSIONS = 6;
const WINDOW = 300;
const RATE = 400;

/** One stream of an arena, with its senders and its sink: a row of the table. */
export class Lane {
  readonly mode: Mode;
  /** A place for everything that a fault needs for this stream. */
  readonly folder: string;
  readonly ledger: Ledger = new Map();
  readonly senders: Sender[] = [];
  /** Problems of this stream, other than a loss. */
  readonly problems: string[] = [];
  readonly #options: ArenaOptions;
  #port = 0;
  #sink: SinkProcess | undefined;
  #proxy: ResettingProxy | undefined;
  #unmount: (() => void) | undefined;

  constructor(mode: Mode, folder: string, options: ArenaOptions) {
    this.mode = mode;
    this.folder = folder;
    this.#options = options;
  }

  /** The file with the stream's output. */
  get sinkFile(): string {
    return join(this.folder, 'sink.jsonl');
  }

  /** The address to which senders send. */
  get url(): string {
    return `ws://127.0.0.1:${this.#proxy?.port ?? this.#port}/in`;
  }

  get logFolder(): string {
    return join(this.folder, 'disk', 'log');
  }

  /** The present segments of the log, and the next ones. The log also writes a mark that it can do without. */
  get segments(): string[] {
    const numbers = readdirSync(this.logFolder).flatMap((name) => segmentNumber(name) ?? []);
    const next = Math.max(0, ...numbers) + 1;
    return [...numbers, next, next + 1, next + 2].map((number) => join(this.logFolder, segmentName(number)));
  }

  /** Its id in the configuration and in the log of the engine. */
  get stream(): string {
    return `faults-${this.mode.replaceAll(/\W+/g, '-')}`;
  }

  get sink(): SinkProcess {
    return this.#sink!;
  }

  get proxy(): ResettingProxy {
    return this.#proxy!;
  }

  get acknowledged(): number {
    let sum = 0;
    for (const { acknowledged } of this.ledger.values()) sum += acknowledged.size;
    return sum;
  }

  /** Starts everything that the stream connects to. @returns the stream's part of the configuration */
  async prepare(): Promise<StreamParts> {
    const { output = 'file', failEvery, proxy = false, disk, absent = false } = this.#options;
    const folder = join(this.folder, 'disk');
    mkdirSync(folder, { recursive: true });
    if (disk !== undefined) this.#unmount = mountMemory(folder, disk);
    if (output !== 'file') this.#sink = await SinkProcess.start(this.sinkFile, failEvery);
    if (absent) await this.sink.kill();
    this.#port = await freePort();
    if (proxy) this.#proxy = await ResettingProxy.start(this.#port);
    const outputs = {
      file: `type: file, path: "${this.sinkFile}"`,
      websocket: `type: websocket, url: "${this.#sink?.url}/each"`,
      confirmed: `type: confirmed, url: "${this.#sink?.url}/confirmed"`,
    };
    const { durability, input, stream } = this.#options;
    return {
      id: this.stream,
      mode: this.mode,
      port: this.#port,
      log: this.logFolder,
      output: outputs[output],
      durability,
      input,
      stream: typeof stream === 'function' ? stream(this.folder) : stream,
    };
  }

  /** Lets the senders begin. */
  send(): void {
    const { url } = this;
    const { sessions = SESSIONS, rate = RATE } = this.#options;
    for (let index = 0; index < sessions; index++) {
      const session = `s${index}`;
      const record = { sent: 0, acknowledged: new Set<number>() };
      this.ledger.set(session, record);
      this.senders.push(new Sender({ session, url, record, window: WINDOW, rate }));
    }
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

  /** The size of the sink's file, in bytes. */
  get arrived(): number {
    return existsSync(this.sinkFile) ? statSync(this.sinkFile).size : 0;
  }

  check(): Verdict {
    const text = existsSync(this.sinkFile) ? readFileSync(this.sinkFile, 'utf8') : '';
    return check(this.ledger, text.split('\n'));
  }

  async endSenders(): Promise<void> {
    await Promise.all(this.senders.map((sender) => sender.end()));
  }

  /** Removes everything but its folder, at whatever stage. @returns how many writes the sink made fail */
  async remove(): Promise<number> {
    this.#sink?.resume();
    const failures = await this.#sink?.end();
    this.#unmount?.();
    return failures ?? 0;
  }

  async endProxy(): Promise<void> {
    const proxy = this.#proxy;
    this.#proxy = undefined;
    await proxy?.end();
  }
}
