import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { programs } from './programs.ts';
import { freePort, start } from './remains.ts';

/** The sink's process, which can be stopped, killed and started again on the same port and file. */
export class SinkProcess {
  readonly #port: number;
  readonly #file: string;
  readonly #failEvery: number;
  #child: ChildProcess | undefined;

  private constructor(port: number, file: string, failEvery: number) {
    this.#port = port;
    this.#file = file;
    this.#failEvery = failEvery;
  }

  /** With `failEvery`, every n-th batch fails. */
  static async start(file: string, failEvery = 0): Promise<SinkProcess> {
    const sink = new SinkProcess(await freePort(), file, failEvery);
    await sink.start();
    return sink;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    const args = [programs.sink, String(this.#port), this.#file, String(this.#failEvery)];
    this.#child = start(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(this.#child.stdout!, 'data');
  }

  stop(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** @returns how many writes it made fail */
  async end(): Promise<number> {
    let told = '';
    this.#child?.stdout!.on('data', (chunk: Buffer) => (told += chunk.toString()));
    await this.#end('SIGTERM');
    return Number(told.trim());
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const closed = once(child, 'close');
    child.kill(signal);
    await closed;
  }
}
