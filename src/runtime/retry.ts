import { setTimeout as delay } from 'node:timers/promises';
import { backoffDelay, type Backoff } from '../component/backoff.ts';
import { MillraceError, NotConnectedError, errorMessage } from '../errors.ts';

/** Milliseconds. */
const STABLE_AFTER = 5_000;

/** Counts failures in a row, and waits between attempts. */
export class Retry {
  readonly #backoff: Backoff;
  #failures = 0;
  #connectedAt: number | undefined;

  constructor(backoff: Backoff) {
    this.#backoff = backoff;
  }

  connected(): void {
    this.#connectedAt = performance.now();
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /**
   * Counts a failure.
   * @returns milliseconds to wait before the next attempt
   * @throws MillraceError (fatal) when that was the last attempt, or the error is fatal itself
   */
  failed(error: unknown): number {
    if (error instanceof MillraceError && error.fatal) throw error;
    const { stableAfter = STABLE_AFTER } = this.#backoff;
    if (this.#connectedAt !== undefined && performance.now() - this.#connectedAt >= stableAfter)
      this.#failures = 0;
    this.#connectedAt = undefined;
    this.#failures++;
    if (this.#failures >= this.#backoff.attempts) {
      const message = `gave up after ${this.#failures} attempt(s): ${errorMessage(error)}`;
      throw new MillraceError('MILLRACE_RECONNECT_EXHAUSTED', message, { cause: error, fatal: true });
    }
    const delay = backoffDelay(this.#backoff, this.#failures);
    return error instanceof NotConnectedError ? Math.max(delay, error.retryAfter) : delay;
  }
}

/** @throws the signal's reason when it aborts */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  // Node's own abort error would hide why.
  await delay(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** `: ` and the reason, for a sentence that says what is wrong; nothing when there is none yet. */
export function because(error: unknown): string {
  return error === undefined ? '' : `: ${errorMessage(error)}`;
}
