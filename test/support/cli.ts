import { spawn } from 'node:child_process';
import { Readable, Writable } from 'node:stream';
import { shellOf } from '../../src/cli/shell.ts';
import { Registry } from '../../src/component/registry.ts';
import { main } from '../../src/main.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { program } from './programs.ts';

export interface CliOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** A module that runs the command line, instead of `program('millrace')`. */
  readonly entry?: string;
  readonly nodeOptions?: readonly string[];
  /** The stdin of the process; empty, unless given. */
  readonly stdin?: string | Uint8Array;
  /** Its hard limit of open files. */
  readonly openFiles?: number;
  /** Leaves stdin to the test. */
  readonly openStdin?: boolean;
}

export interface CliResult {
  /** Undefined when a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The environment that a process needs, without anything that could change its behavior. */
function inherited(): NodeJS.ProcessEnv {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  return { PATH, NODE_COMPILE_CACHE };
}

/** Starts `millrace` as a process, as a user would. */
export function startCli(args: readonly string[], options: CliOptions = {}) {
  const {
    env = {},
    cwd,
    entry = program('millrace'),
    nodeOptions = [],
    stdin = '',
    openStdin = false,
  } = options;
  const { openFiles } = options;
  const command = [process.execPath, ...nodeOptions, entry, ...args];
  const limited = ['sh', '-c', `ulimit -n ${openFiles} && exec "$0" "$@"`, ...command];
  const [executable, ...rest] = openFiles === undefined ? command : limited;
  const child = spawn(executable!, rest, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...inherited(), ...env },
  });
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  const changed = (): void => {
    for (const watcher of watchers) watcher();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    changed();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    changed();
  });
  child.stdin.on('error', () => {});
  if (!openStdin) child.stdin.end(stdin);
  const result = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code, stdout, stderr });
      changed();
    });
  });
  return {
    child,
    result,
    /** Its output so far. */
    stdout: () => stdout,
    stderr: () => stderr,
    /** Resolves when `pattern` is in what the process has written to stdout and stderr; rejects if it ends without. */
    async seen(pattern: RegExp): Promise<void> {
      await new Promise<void>((resolve, reject) => {
        const look = (): void => {
          const found = pattern.test(stdout) || pattern.test(stderr);
          if (!found && child.exitCode === null && child.signalCode === null) return;
          watchers.delete(look);
          if (found) resolve();
          else reject(new Error(`ended without ${String(pattern)}: ${stdout}${stderr}`));
        };
        watchers.add(look);
        look();
      });
    },
  };
}

/** Runs `millrace` as a process, to its end. */
export function cliProcess(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  return startCli(args, options).result;
}

/**
 * Runs one command line in this process, to its end: the program that a process of its own would run, on other streams.
 * For what a process adds (signals, its end, pipes, a folder or a time zone of its own), there is `cliProcess`.
 */
export async function cli(
  args: readonly string[],
  { env = {}, stdin = '' }: Pick<CliOptions, 'env' | 'stdin'> = {},
): Promise<CliResult> {
  // A command line without components, such as `tail`, need not load them.
  const { components } = await import('../../src/components/index.ts');
  const { stdoutTo } = await import('../../src/components/outputs/stdout.ts');
  const stdio = { stdin: Readable.from([Buffer.from(stdin)]), stdout: new Kept(), stderr: new Kept() };
  const output = stdoutTo(stdio.stdout);
  const ownStdout = components.map((each) => (each.type === output.type ? output : each));
  const code = await main(
    args,
    shellOf({
      registry: () => Promise.resolve(new Registry(ownStdout)),
      env: { PATH: process.env['PATH'], ...env },
      stdio,
      logger: (logging) => createLogger(logging, stdio.stderr),
    }),
  );
  return { code, stdout: stdio.stdout.text, stderr: stdio.stderr.text };
}

/** Keeps what is written to it. */
class Kept extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}
