import { setTimeout as delay } from 'node:timers/promises';
import { isStable, retryDelay, type Backoff } from '../component/backoff.ts';
import { declareErrors, MillraceError, errorMessage } from '../errors.ts';
import { plural } from '../plural.ts';

/** The error code of the last attempt. */
export const reconnectErrors = declareErrors({
  MILLRACE_RECONNECT_EXHAUSTED: {
    help: 'As many attempts to connect failed as the configuration allows. The stream has failed; raise `reconnect.attempts`, or leave it out to try for ever.',
  },
});

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
   * @throws MillraceError (fatal) if that was the last attempt, or if the error is fatal itself
   */
  failed(error: unknown): number {
    if (error instanceof MillraceError && error.fatal) throw error;
    if (this.#connectedAt !== undefined && isStable(this.#backoff, this.#connectedAt)) this.#failures = 0;
    this.#connectedAt = undefined;
    this.#failures++;
    if (this.#failures >= this.#backoff.attempts) {
      const message = `gave up after ${plural(this.#failures, 'attempt')}: ${errorMessage(error)}`;
      throw new MillraceError(reconnectErrors.MILLRACE_RECONNECT_EXHAUSTED, message, {
        cause: error,
        fatal: true,
      });
    }
    return retryDelay(this.#backoff, this.#failures, error);
  }
}

/** @throws the signal's reason when it aborts */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  // Node's own abort error would hide the reason.
  await delay(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}
