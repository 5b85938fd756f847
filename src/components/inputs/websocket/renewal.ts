import { setTimeout as pause } from 'node:timers/promises';
import { backoffDelay, isStable, retryDelay, type Backoff } from '../../../component/backoff.ts';
import { MillraceError } from '../../../errors.ts';
import type { ComponentEvents } from '../../../telemetry/events.ts';
import type { Session } from '../../../websocket/session.ts';

/**
 * A connection is renewed at this share of its greatest age at the earliest, so that many are not renewed at once.
 */
const EARLIEST = 0.9;

export type RenewalReason = 'age' | 'asked';

export interface RenewalOptions {
  /** Milliseconds; undefined for no limit. */
  readonly maxAge: number | undefined;
  readonly backoff: Backoff;
  readonly events: ComponentEvents;
  /** Opens a connection. */
  readonly attempt: (signal: AbortSignal) => Promise<Session>;
  /** Takes a new connection. Returns an error when it is unusable. */
  readonly renewed: (session: Session, reason: RenewalReason) => MillraceError | undefined;
}

/** An attempt under way. */
interface Attempt {
  readonly promise: Promise<Session>;
  readonly controller: AbortController;
}

/**
 * Opens a connection beside one that is still good, at the connection's age or when its server asks for it. It tries
 * until an attempt to connect takes over. An input never has more than one attempt: a new one takes over this one.
 */
export class Renewal {
  readonly #options: RenewalOptions;
  #ageTimer: NodeJS.Timeout | undefined;
  #since = 0;
  /** How many connections in a row were renewed before they were stable. */
  #shortLived = 0;
  /** Aborts the renewal under way. */
  #controller: AbortController | undefined;
  #attempt: Attempt | undefined;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** Starts the clock for the connection that counts from now on. */
  watch(): void {
    clearTimeout(this.#ageTimer);
    this.#since = performance.now();
    const { maxAge } = this.#options;
    if (maxAge === undefined) return;
    const age = maxAge * (EARLIEST + (1 - EARLIEST) * Math.random());
    this.#ageTimer = setTimeout(() => this.start('age'), age);
  }

  /** Renews the connection, unless a renewal is under way. */
  start(reason: RenewalReason): void {
    if (this.#controller !== undefined) return;
    clearTimeout(this.#ageTimer);
    this.#shortLived = isStable(this.#options.backoff, this.#since) ? 0 : this.#shortLived + 1;
    this.#controller = new AbortController();
    void this.#run(this.#controller, reason);
  }

  /**
   * Ends the renewal, but not an attempt under way, which then belongs to the caller. @throws the error of the
   * attempt
   */
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
    // A server that asks every new connection to go away must not keep us busy.
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
        // The new connection's server may already ask for the next renewal.
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
        // The engine reports a final failure, when the old connection ends.
        if (final) return;
      }
    }
  }
}

/** How often a close that waits for its peer checks the clock, in milliseconds. */
const CLOSING_TICK = 250;

/**
 * Closes a connection that another has replaced; messages that its server still sends are taken in. The server has
 * `timeout` milliseconds to answer, which do not run while we don't read.
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
