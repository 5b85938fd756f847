import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { serverOf, type Server } from './server.ts';

const run = promisify(execFile);

const KEPT = { appendonly: 'yes', appendfsync: 'no', 'repl-diskless-sync-delay': 0 };

/** Redis. Each command is with the operating system before it is answered, so that a killed server has it. `options` are added to its command line. */
export async function redisServer({
  options = [],
  password,
}: { options?: string[]; password?: string } = {}): Promise<Server> {
  return await serverOf({
    tool: 'redis-server',
    command({ program, dir, port }) {
      const settings = {
        port,
        bind: '127.0.0.1',
        dir,
        save: '',
        ...KEPT,
        ...(password !== undefined && { requirepass: password }),
      };
      const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
      return [program, ...flags, ...options];
    },
    ready: async ({ port }) => (await redis(port, ['ping'], password)) === 'PONG',
  });
}

/** The answer of `redis-cli`, without the line feed at its end. */
export async function redis(port: number, command: readonly string[], password?: string): Promise<string> {
  const { stdout } = await run('redis-cli', [...flags(port, password), ...command], {
    maxBuffer: Infinity,
  });
  return stdout.replace(/\n$/, '');
}

/** The answer as JSON (`--json` of Redis 7): lists, hashes and entries of streams with their structure. */
export async function redisJson(port: number, command: readonly string[]): Promise<unknown> {
  return JSON.parse(await redis(port, ['--json', ...command])) as unknown;
}

/** Executes commands, one a line. */
export function redisAll(port: number, lines: string): void {
  execFileSync('redis-cli', flags(port), { input: lines });
}

function flags(port: number, password?: string): string[] {
  return [
    '-h',
    '127.0.0.1',
    '-p',
    String(port),
    ...(password === undefined ? [] : ['-a', password, '--no-auth-warning']),
  ];
}
