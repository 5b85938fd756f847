import { NotConnectedError, errorMessage } from '../errors.ts';

/** The reason with which a deadline aborts. */
class NoAnswer extends Error {}

/** The time that one attempt has. Its signal aborts at its end, and when the caller's does. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  /** Milliseconds, in all. */
  readonly timeout: number;

  /** `timeout` in milliseconds; `clear` must be called. */
  constructor(parent: AbortSignal, timeout: number) {
    parent.throwIfAborted();
    this.timeout = timeout;
    this.#parent = parent;
    this.#timer = setTimeout(() => {
      this.#controller.abort(new NoAnswer(`no answer within ${timeout / 1000} s`));
    }, timeout);
    parent.addEventListener('abort', this.#aborted, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * For the sockets of Node: how long one address of a host may take, in milliseconds, where there are more. The 250 ms
   * that Node gives are too few for a server on the other side of the Earth, and after them it is not waited for.
   */
  get addressTimeout(): { autoSelectFamilyAttemptTimeout: number } {
    return { autoSelectFamilyAttemptTimeout: Math.ceil(this.timeout / 4) };
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#parent.removeEventListener('abort', this.#aborted);
  }

  readonly #aborted = (): void => this.#controller.abort(this.#parent.reason);
}

/**
 * The error of a part of an attempt: `what` could not be done. When the caller has aborted it is the caller's own
 * reason; when the time was up, that, whatever came of it.
 */
export function attemptError(what: string, error: unknown, signal: AbortSignal): Error {
  const reason: unknown = signal.aborted ? signal.reason : error;
  if (signal.aborted && !(reason instanceof NoAnswer)) return reason as Error;
  return new NotConnectedError(`${what}: ${errorMessage(reason)}`, error);
}
