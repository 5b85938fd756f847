import { afterTest } from './cleanup.ts';

const POLL_MS = 5;
/** Each pause is so much longer, as part of the time that was waited, up to `LAST_POLL_MS`. */
const POLL_GROWTH = 0.05;
const LAST_POLL_MS = 50;
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
  options: { timeout?: number; state?: () => string; growth?: number } = {},
): Promise<Exclude<T, false | undefined>> {
  const { timeout = PATIENCE, state, growth = POLL_GROWTH } = options;
  const begin = performance.now();
  for (;;) {
    const value = await condition();
    if (failure !== undefined) throw failure;
    if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
    const waited = performance.now() - begin;
    if (waited > timeout) {
      throw new Error(`waited ${timeout} ms for ${what}${state === undefined ? '' : `; ${state()}`}`);
    }
    // A look may cost as much as a handshake: one that waits for seconds must not take the machine from the others.
    const pause = Math.min(POLL_MS + waited * growth, LAST_POLL_MS);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** Resolves with the value of `look` when it has stopped changing; `what` describes the value. */
export async function standstill<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  let last: T | undefined;
  let looks = 0;
  const still = async (): Promise<boolean> => {
    const value = await look();
    looks = value !== undefined && value === last ? looks + 1 : 0;
    last = value;
    return looks > STILL;
  };
  await until(what, still, { growth: 0 });
  return last!;
}
