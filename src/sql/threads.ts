import { availableParallelism } from 'node:os';

/** Threads left to the file system, DNS look-ups and compression. */
const OTHERS = 4;

/** The number of threads that libuv starts by default. */
const DEFAULT_POOL = 4;

/**
 * Asks for a thread pool with a share for SQL, unless the user has set its size. Only a call before the pool's first
 * use has an effect, so a process makes it first.
 */
export function sizeThreadPool(env: Record<string, string | undefined> = process.env): void {
  env['UV_THREADPOOL_SIZE'] ||= String(OTHERS + Math.max(4, availableParallelism()));
}

/**
 * How many of a pool's threads SQL may hold. The rest are for files: as many as are reserved for them, if the pool has
 * that many.
 */
export function sqlThreads(pool: number): number {
  return Math.max(1, pool - Math.min(OTHERS, Math.ceil(pool / 2)));
}

/** The size of this process's pool, as libuv reads it. */
export function poolSize(env: Record<string, string | undefined> = process.env): number {
  const given = env['UV_THREADPOOL_SIZE'];
  return given === undefined ? DEFAULT_POOL : Math.min(1024, Number.parseInt(given, 10) || 1);
}
