import type { Session } from '../session.ts';

interface State {
  /** The number of the last message that was seen. */
  sequence: number;
  since: number;
}

/**
 * Finds sessions that have sent no message for `timeout` and do not wait for us. One timer serves all. It checks
 * whether messages have arrived, so the messages themselves cost nothing.
 */
export class IdleTimeout {
  readonly #timeout: number;
  readonly #period: number;
  readonly #expired: (session: Session) => void;
  readonly #states = new Map<Session, State>();
  #timer: NodeJS.Timeout | undefined;
  #lastTick = 0;

  /** `timeout` in milliseconds. */
  constructor(timeout: number, expired: (session: Session) => void) {
    this.#timeout = timeout;
    this.#period = Math.min(Math.max(5, timeout / 4), 60_000);
    this.#expired = expired;
  }

  add(session: Session): void {
    this.#states.set(session, { sequence: session.sequence, since: performance.now() });
    if (this.#timer !== undefined) return;
    this.#lastTick = performance.now();
    this.#timer = setInterval(this.#tick, this.#period);
  }

  remove(session: Session): void {
    this.#states.delete(session);
    if (this.#states.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  readonly #tick = (): void => {
    const now = performance.now();
    // The process itself was held up: messages may wait to be read.
    const late = now - this.#lastTick > this.#period + this.#timeout / 2;
    this.#lastTick = now;
    for (const [session, state] of this.#states) {
      if (late || session.held || session.awaitsUs || session.sequence !== state.sequence) {
        state.sequence = session.sequence;
        state.since = now;
      } else if (now - state.since >= this.#timeout) {
        this.#states.delete(session);
        this.#expired(session);
      }
    }
  };
}
