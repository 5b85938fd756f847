import { availableParallelism } from 'node:os';

/** Threads that are left to the file system, look-ups of names and compression. */
const OTHERS = 4;

/** What libuv starts where nobody says otherwise. */
const DEFAULT_POOL = 4;

/**
 * Asks for a pool of threads with a share for SQL, unless the user has said how many there are. Only a call before the
 * pool's first use has an effect: a process does it as its first step.
 */
export function sizeThreadPool(env: Record<string, string | undefined> = process.env): void {
  env['UV_THREADPOOL_SIZE'] ||= String(OTHERS + Math.max(4, availableParallelism()));
}

/** How many of a pool's threads SQL may hold: the rest are for files, of which there are as many where there can be. */
export function sqlThreads(pool: number): number {
  return Math.max(1, pool - Math.min(OTHERS, Math.ceil(pool / 2)));
}

/** The size of this process's pool, as libuv reads it. */
export function poolSize(env: Record<string, string | undefined> = process.env): number {
  const given = env['UV_THREADPOOL_SIZE'];
  return given === undefined ? DEFAULT_POOL : Math.min(1024, Number.parseInt(given, 10) || 1);
}
