import { setTimeout as pause } from 'node:timers/promises';
import { backoffDelay, isStable, retryDelay, type Backoff } from '../../../component/backoff.ts';
import { MillraceError } from '../../../errors.ts';
import type { ComponentEvents } from '../../../telemetry/events.ts';
import type { Session } from '../../../websocket/session.ts';

/** A connection is renewed at this part of its greatest age at the earliest, so that many do not do it at once. */
const EARLIEST = 0.9;

export type RenewalReason = 'age' | 'asked';

export interface RenewalOptions {
  /** Milliseconds; undefined for no limit. */
  readonly maxAge: number | undefined;
  readonly backoff: Backoff;
  readonly events: ComponentEvents;
  /** Opens a connection. */
  readonly attempt: (signal: AbortSignal) => Promise<Session>;
  /** A new connection is there. Gives an error when it is no good. */
  readonly renewed: (session: Session, reason: RenewalReason) => MillraceError | undefined;
}

/** An attempt that is under way. */
interface Attempt {
  readonly promise: Promise<Session>;
  readonly controller: AbortController;
}

/**
 * Opens a connection beside one that is still good, at the connection's age or when its server asks for it. It tries for
 * as long as nobody takes over. There is never more than one attempt of an input: who wants to connect takes over this one.
 */
export class Renewal {
  readonly #options: RenewalOptions;
  #ageTimer: NodeJS.Timeout | undefined;
  #since = 0;
  /** How many connections in a row were renewed before they were stable. */
  #shortLived = 0;
  /** Of the renewal that goes on. */
  #controller: AbortController | undefined;
  #attempt: Attempt | undefined;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** A connection counts from now on. */
  watch(): void {
    clearTimeout(this.#ageTimer);
    this.#since = performance.now();
    const { maxAge } = this.#options;
    if (maxAge === undefined) return;
    const age = maxAge * (EARLIEST + (1 - EARLIEST) * Math.random());
    this.#ageTimer = setTimeout(() => this.start('age'), age);
  }

  /** Renews the connection, if that is not going on. */
  start(reason: RenewalReason): void {
    if (this.#controller !== undefined) return;
    clearTimeout(this.#ageTimer);
    this.#shortLived = isStable(this.#options.backoff, this.#since) ? 0 : this.#shortLived + 1;
    this.#controller = new AbortController();
    void this.#run(this.#controller, reason);
  }

  /** Ends it, but not an attempt that is under way: that is the caller's now. @throws what the attempt throws */
  takeOver(signal: AbortSignal): Promise<Session> | undefined {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (attempt === undefined) {
      this.stop();
      return undefined;
    }
    clearTimeout(this.#ageTimer);
    this.#controller = undefined;
    const abort = (): void => attempt.controller.abort(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    return attempt.promise.finally(() => signal.removeEventListener('abort', abort));
  }

  stop(): void {
    clearTimeout(this.#ageTimer);
    this.#attempt = undefined;
    this.#controller?.abort();
    this.#controller = undefined;
  }

  async #run(controller: AbortController, reason: RenewalReason): Promise<void> {
    const { backoff, events, attempt, renewed } = this.#options;
    const { signal } = controller;
    // A server that asks every new connection to go away again must not keep us busy with that.
    let delay = this.#shortLived === 0 ? 0 : backoffDelay(backoff, this.#shortLived);
    for (let failures = 1; ; failures++) {
      await pause(delay, undefined, { signal }).catch(() => {});
      if (this.#controller !== controller) return;
      const promise = attempt(signal);
      this.#attempt = { promise, controller };
      try {
        const session = await promise;
        if (this.#controller !== controller) return;
        this.#attempt = undefined;
        // The new connection's server may ask for the next renewal already.
        this.#controller = undefined;
        const problem = renewed(session, reason);
        if (problem === undefined) return;
        this.#controller = controller;
        throw problem;
      } catch (error) {
        if (this.#controller !== controller) return;
        this.#attempt = undefined;
        const final = error instanceof MillraceError && error.fatal;
        delay = retryDelay(backoff, failures, error);
        events.renewalFailed(error, final ? undefined : delay);
        // What cannot be tried again is for the engine to say, when the old connection ends.
        if (final) return;
      }
    }
  }
}

/** How often a close that waits for its peer looks at the clock, in milliseconds. */
const CLOSING_TICK = 250;

/**
 * Closes a connection whose place another has taken; what its server still sends is taken in. The server has `timeout`
 * milliseconds to answer, which stand still while we don't read.
 */
export function retire(session: Session, timeout: number): void {
  let left = timeout;
  const clock = setInterval(() => {
    if (!session.heldByUs) left -= CLOSING_TICK;
    if (left <= 0) session.terminate();
  }, CLOSING_TICK);
  session.socket.once('close', () => clearInterval(clock));
  session.close(1000, 'renewed');
}
