import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Processes that must end with this one. */
const processes = new Set<ChildProcess>();
/** Other remains to remove, with the function that removes each; the newest goes first. */
const remains = new Set<() => void>();
process.on('exit', removeRemains);

export function removeRemains(): void {
  for (const child of processes) child.kill('SIGKILL');
  for (const remove of [...remains].toReversed()) {
    try {
      remove();
    } catch (error) {
      // The others must go nevertheless.
      process.stderr.write(`${String(error)}\n`);
    }
  }
}

/** Starts a process that ends with this one, whatever happens. */
export function start(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(command, [...args], options);
  processes.add(child);
  child.once('exit', () => processes.delete(child));
  return child;
}

export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'millrace-faults-'));
  return { path, remove: once(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 })) };
}

/**
 * Mounts a file system of this size in memory.
 * @returns a function that unmounts it
 * @throws Error if this user may not mount one
 */
export function mountMemory(path: string, bytes: number): () => void {
  const { status, stderr } = spawnSync(
    'mount',
    ['-t', 'tmpfs', '-o', `size=${bytes}`, 'millrace-faults', path],
    {
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(`cannot mount a small disk in ${path}, which needs root: ${stderr}`);
  return once(() => void spawnSync('umount', ['--lazy', path]));
}

function once(remove: () => void): () => void {
  const removal = (): void => {
    if (remains.delete(removal)) remove();
  };
  remains.add(removal);
  return removal;
}

/** A port below those that the system gives to connections: one of them could take it while a server is down. */
const PORTS = [20_000, 32_000] as const;

export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS[0] + Math.floor(Math.random() * (PORTS[1] - PORTS[0]));
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (free) return port;
  }
}
