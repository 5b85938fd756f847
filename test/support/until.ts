import { afterTest } from './cleanup.ts';

const POLL_MS = 5;
/** How long an expected event may take on a busy machine. Milliseconds. */
export const PATIENCE = 60_000;

let failure: Error | undefined;

/** Fails whatever `until` waits for in the running test: something that it needs is gone. */
export function failAtOnce(error: Error): void {
  failure ??= error;
  // The next test has none.
  afterTest(() => (failure = undefined));
}

/** How often a value must be seen unchanged to stand still. */
const STILL = 50;

/**
 * Resolves with the first value of `condition` that is neither false nor undefined.
 * @throws Error after `timeout` milliseconds, saying what was waited for and what `state` tells then
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  options: { timeout?: number; state?: () => string } = {},
): Promise<Exclude<T, false | undefined>> {
  const { timeout = PATIENCE, state } = options;
  const deadline = performance.now() + timeout;
  for (;;) {
    const value = await condition();
    if (failure !== undefined) throw failure;
    if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
    if (performance.now() > deadline) {
      throw new Error(`waited ${timeout} ms for ${what}${state === undefined ? '' : `; ${state()}`}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Resolves with the value of `look` when it has stopped changing; `what` describes the value. */
export async function standstill<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  let last: T | undefined;
  let looks = 0;
  await until(what, async () => {
    const value = await look();
    looks = value !== undefined && value === last ? looks + 1 : 0;
    last = value;
    return looks > STILL;
  });
  return last!;
}
