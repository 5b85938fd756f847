import { errorMessage } from '../errors.ts';

/** Something that a part of a stream cannot do for now: why, and since when. */
export class Outage {
  #since: Date | undefined;
  #error: unknown;

  /** It has failed, perhaps again: the reason is the new one, and the time of the first failure stays. */
  failed(error: unknown): void {
    this.#since ??= new Date();
    this.#error = error;
  }

  over(): void {
    this.#since = undefined;
    this.#error = undefined;
  }

  get active(): boolean {
    return this.#since !== undefined;
  }

  /** `what` with the reason and the time; `what` alone while nothing has failed. */
  describe(what: string): string {
    return this.active ? this.dated(`${what}: ${errorMessage(this.#error)}`) : what;
  }

  /** A sentence that has its own reason, with the time. */
  dated(sentence: string): string {
    return this.#since === undefined ? sentence : sentence + since(this.#since);
  }
}

/** ISO 8601 in UTC, as the end of a sentence. */
function since(time: Date): string {
  return ` (since ${time.toISOString()})`;
}

/** A step under way for this long stands still, as far as anybody can see. Milliseconds. */
const STANDSTILL = 10_000;

/**
 * Says that `what` has been under way for too long, once it has; `started` in milliseconds of `performance.now()`.
 */
export function standstill(what: string, started: number | undefined): string | undefined {
  if (started === undefined) return undefined;
  const elapsed = performance.now() - started;
  return elapsed < STANDSTILL ? undefined : `${what}${since(new Date(Date.now() - elapsed))}`;
}
