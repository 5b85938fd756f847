import { NotConnectedError, errorMessage } from '../errors.ts';

/** The reason with which a deadline aborts. */
class NoAnswer extends Error {}

/** The time limit of one attempt. Its signal aborts when the time is up, and when the caller's signal does. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  /** In milliseconds, in total. */
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
   * For Node's sockets: how long one address of a host may take, in milliseconds, if the host has several. Node's own
   * 250 ms are too few for a server on the other side of the Earth, and Node gives up on the address after them.
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
 * The error of a part of an attempt: `what` says what failed. If the caller has aborted, the result is the caller's own
 * reason; if the time is up, the result says so, whatever `error` is.
 */
export function attemptError(what: string, error: unknown, signal: AbortSignal): Error {
  const reason: unknown = signal.aborted ? signal.reason : error;
  if (signal.aborted && !(reason instanceof NoAnswer)) return reason as Error;
  return new NotConnectedError(`${what}: ${errorMessage(reason)}`, error);
}
