import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, globSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterFile } from '../cleanup.ts';
import { findTool, isAble, type Ability, type ToolName } from '../machine.ts';
import { until } from '../until.ts';

/** How a server of some kind is started. `port` is the one that it listens on; `dir` is its own, and is kept by a restart. */
export interface Recipe {
  /** The program: one of the machine's, or the path of any other. */
  readonly tool: ToolName | `/${string}`;
  /** Whatever else the machine must have. */
  readonly needs?: Ability;
  /** Makes what the first start needs, such as files of its configuration. Node.js may be root. */
  prepare?(place: Place): Promise<void> | void;
  /** Whatever must be gone before each start, such as a lock that a killed process has left. */
  beforeStart?(place: Place): void;
  /** The program and its arguments. It must stay in the foreground. */
  command(place: Place): readonly string[];
  /** Whether it answers as it should. An error means that it does not yet. */
  ready(place: Place): Promise<boolean>;
  /** The signal that ends it in good order. Default: SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
}

export interface Place {
  readonly program: string;
  readonly dir: string;
  readonly port: number;
  /** A second free port, such as for monitoring. */
  readonly port2: number;
}

/**
 * Starts a real server for the tests of a file, which ends after the last of them; await it at the top of the file. On a
 * machine that lacks its program it is not started; the tests have to be made with `testWith` of that program.
 */
export async function serverOf(recipe: Recipe): Promise<Server> {
  const server = new Server(recipe);
  afterFile(() => server.remove());
  const { tool, needs } = recipe;
  if (pathOf(tool) !== undefined && (needs === undefined || isAble(needs))) await server.start();
  return server;
}

export class Server {
  readonly #recipe: Recipe;
  #place: Place | undefined;
  #child: ChildProcess | undefined;

  constructor(recipe: Recipe) {
    this.#recipe = recipe;
  }

  get place(): Place {
    if (this.#place === undefined) throw new Error(`${this.#recipe.tool} has not been started`);
    return this.#place;
  }

  get port(): number {
    return this.place.port;
  }

  get dir(): string {
    return this.place.dir;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The output of the server so far. */
  get log(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  get #logFile(): string {
    return join(this.dir, 'log');
  }

  /** Resolves when it is ready: a new one, or again one that was stopped or killed, on the same port and with its data. */
  async start(): Promise<void> {
    if (this.#place === undefined) {
      const { tool } = this.#recipe;
      const program = pathOf(tool);
      if (program === undefined) throw new Error(`this machine lacks ${tool}`);
      const [port, port2] = [await restartablePort(), await restartablePort()];
      // Readable for the user that a server gives itself, unlike `mkdtemp`.
      const dir = join(tmpdir(), `millrace-server-${process.pid}-${port}`);
      mkdirSync(dir, { mode: 0o755 });
      this.#place = { program, dir, port, port2 };
      await this.#recipe.prepare?.(this.#place);
    }
    this.#recipe.beforeStart?.(this.place);
    const log = openSync(this.#logFile, 'a');
    // Whatever happens to the test, its server dies with it.
    const command = ['--pdeathsig', 'KILL', ...this.#recipe.command(this.place)];
    const child = spawn('setpriv', command, { stdio: ['ignore', log, log], cwd: this.dir });
    closeSync(log);
    this.#child = child;
    await until(
      `${this.#recipe.tool} to be ready`,
      async () => {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`it has ended: ${this.log.slice(-2000)}`);
        return await this.#recipe.ready(this.place).catch(() => false);
      },
      { state: () => this.log.slice(-2000) },
    );
  }

  /** Ends it and all its processes at once, as a power loss does to them; resolves when its port is closed. */
  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Ends it in good order. */
  async stop(): Promise<void> {
    await this.#end(this.#recipe.stopSignal ?? 'SIGTERM');
  }

  /** Kills it and starts it again. */
  async restart(): Promise<void> {
    await this.kill9();
    await this.start();
  }

  /** Stops all its processes where they are: connections stay open, and nobody answers. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** Kills it and removes its data. */
  async remove(): Promise<void> {
    if (this.#place === undefined) return;
    await this.kill9();
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    // Once the parent is gone, nobody knows its children any more.
    const children = signal === 'SIGKILL' ? childrenOf(child.pid!) : [];
    const ended = once(child, 'exit');
    child.kill(signal);
    for (const pid of children) signalTo(pid, signal);
    await ended;
    await until(`${this.#recipe.tool} to close its port`, async () => !(await answers(this.port)));
    await until('its processes to be gone', () => !children.some(isAlive));
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child!;
    for (const each of [pid!, ...childrenOf(pid!)]) signalTo(each, signal);
  }
}

function pathOf(tool: Recipe['tool']): string | undefined {
  return tool.startsWith('/') ? tool : findTool(tool as ToolName);
}

/** Whether something accepts connections there. */
export async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/**
 * A free port that stays free while its server is down: systems take the ports of outgoing connections from 32768 on
 * (`net.ipv4.ip_local_port_range`).
 */
async function restartablePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

function childrenOf(pid: number): number[] {
  const all = globSync('/proc/[0-9]*').map((path) => Number(path.slice('/proc/'.length)));
  const children = all.filter((each) => statOf(each)?.parent === pid);
  return children.flatMap((each) => [each, ...childrenOf(each)]);
}

/** A zombie is not alive: the init of a container may be slow to bury it. */
function isAlive(pid: number): boolean {
  const state = statOf(pid)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

function statOf(pid: number): { readonly state: string; readonly parent: number } | undefined {
  try {
    // The name in parentheses may have any characters.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return { state: state!, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  if (existsSync(`/proc/${pid}`)) process.kill(pid, signal);
}
