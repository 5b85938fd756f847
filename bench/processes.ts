import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Shape } from './messages.ts';
import type { SenderCommand, Sent } from './sender.ts';

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** One of the bench's own processes, which answers each command with one reply. */
export class Helper {
  readonly child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  static start(file: string, args: readonly string[] = []): Helper {
    const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv: [] });
    return new Helper(track(child));
  }

  get pid(): number {
    return this.child.pid!;
  }

  async ask<Reply>(command: object): Promise<Reply> {
    const reply = this.reply<Reply>();
    this.child.send(command);
    return await reply;
  }

  /** The next message. @throws Error if the process ends instead */
  async reply<Reply>(): Promise<Reply> {
    const ended = new AbortController();
    const gone = once(this.child, 'exit', { signal: ended.signal }).then(([code]) => {
      throw new Error(`${this.child.spawnargs.join(' ')} ended with ${String(code)}`);
    });
    gone.catch(() => {});
    try {
      const [message] = (await Promise.race([
        once(this.child, 'message', { signal: ended.signal }),
        gone,
      ])) as [Reply];
      return message;
    } finally {
      ended.abort();
    }
  }

  async stop(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.disconnect();
    await gone;
  }
}

export class Sender {
  readonly #helper = Helper.start('./sender.ts');

  get pid(): number {
    return this.#helper.pid;
  }

  async connect(port: number, connections: number, messageBytes = 70, shape: Shape = 'flat'): Promise<void> {
    await this.#ask({ type: 'connect', port, connections, messageBytes, shape });
  }

  /** Sends as fast as the server takes it. */
  async flood(seconds: number): Promise<Sent> {
    return await this.#ask({ type: 'flood', seconds });
  }

  /** Ends it, together with anything unsent. */
  async abandon(): Promise<void> {
    await this.#helper.stop();
  }

  async stop(): Promise<void> {
    await this.#ask({ type: 'close' });
    await this.#helper.stop();
  }

  async #ask<Reply>(command: SenderCommand): Promise<Reply> {
    return await this.#helper.ask<Reply>(command);
  }
}

/** Ends the child with this process, whatever happens. */
export function track(child: ChildProcess): ChildProcess {
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Resident memory of a process in bytes: the present value and the peak. */
export async function memoryOf(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? NaN) * 1024;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

/** CPU time that a process has used, in seconds: the total, and that of its main thread (which runs the JavaScript). */
export async function cpuOf(pid: number): Promise<{ all: number; main: number }> {
  let all = 0;
  let main = 0;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const stat = await readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8').catch(() => undefined);
    if (stat === undefined) continue;
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const seconds = (Number(fields[11]) + Number(fields[12])) / 100;
    all += seconds;
    if (Number(thread) === pid) main = seconds;
  }
  return { all, main };
}
