import { NotConnectedError } from '../../../errors.ts';
import { ServerBusyError } from '../../../websocket/client/policy.ts';

/** The URL of an input that is connected or is next. Servers that ask for patience are skipped until it is over. */
export class Turns {
  /** When each URL may be tried again, in milliseconds of `performance.now()`. */
  readonly #askable: number[];
  #at = 0;

  constructor(count: number) {
    this.#askable = Array.from({ length: count }, () => 0);
  }

  /** The index of the URL. */
  get at(): number {
    return this.#at;
  }

  /**
   * The connection, or the attempt to make one, has failed.
   * @returns the error, which says how long to wait for the next URL
   */
  failed<E>(error: E): E | NotConnectedError {
    const now = performance.now();
    const busy = error instanceof ServerBusyError;
    if (busy) this.#askable[this.#at] = now + error.retryAfter;
    this.#at = this.#next(now);
    if (!(error instanceof NotConnectedError)) return error;
    const wait = Math.max(this.#askable[this.#at]! - now, busy ? 0 : error.retryAfter);
    return wait === error.retryAfter ? error : new NotConnectedError(error.message, error.cause, wait);
  }

  /** The first URL, in their order, that may be tried now; otherwise the one that may be tried soonest. */
  #next(now: number): number {
    const { length } = this.#askable;
    const order = Array.from({ length }, (_, index) => (this.#at + 1 + index) % length);
    const due = (index: number): number => Math.max(now, this.#askable[index]!);
    return order.reduce((best, index) => (due(index) < due(best) ? index : best));
  }
}
