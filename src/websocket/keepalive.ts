import { deadPeer } from './ending.ts';
import type { Session } from './session.ts';
import { CLOSE_TIMEOUT } from './timeouts.ts';

interface State {
  bytesRead: number;
  quietSince: number;
  pingedAt: number | undefined;
  /** When it began to close, or when it last took some of the data that still waits for it. */
  closingSince: number | undefined;
  buffered: number;
}

/** How often a connection is checked within its shortest time limit. */
const LOOKS = 16;

/**
 * Finds connections that look alive and are dead: it pings those that have been silent for `interval`, and cuts those
 * that stay silent for `timeout` after that (RFC 6455 section 5.5.2). One timer serves all connections.
 *
 * A peer that does not take our data is not dead but busy (backpressure), and the ping waits behind that data: as long
 * as bytes wait, nothing is cut. If the network is gone, TCP gives up in its own time.
 *
 * It also cuts connections that never finish closing: whoever began, a peer may leave its side of TCP open for ever,
 * and go on sending data that nobody reads.
 */
export class Keepalive {
  readonly #interval: number;
  readonly #timeout: number;
  readonly #states = new Map<Session, State>();
  readonly #period: number;
  /** How much pings are early: silence is noticed up to one check late, and the next check may be late by another. */
  readonly #early: number;
  #timer: NodeJS.Timeout | undefined;
  #lastTick = 0;
  readonly #held: ((session: Session) => void) | undefined;
  #closeTimeout = CLOSE_TIMEOUT;

  /**
   * `interval` and `timeout` are in milliseconds; an interval of 0 sends no pings. `held` is called once per interval
   * for each session that is not read.
   */
  constructor(options: { interval: number; timeout: number; held?: (session: Session) => void }) {
    this.#held = options.held;
    this.#interval = options.interval;
    this.#timeout = options.timeout;
    const shortest = Math.min(options.interval || Infinity, options.timeout, CLOSE_TIMEOUT);
    this.#period = Math.max(5, shortest / LOOKS);
    this.#early = Math.min(2 * this.#period, options.interval / 4);
  }

  /** How long peers have to close, in milliseconds, if that is longer than usual. */
  set closeTimeout(milliseconds: number) {
    this.#closeTimeout = Math.max(CLOSE_TIMEOUT, milliseconds);
  }

  add(session: Session): void {
    const quietSince = performance.now();
    const state = { bytesRead: 0, quietSince, pingedAt: undefined, closingSince: undefined, buffered: 0 };
    this.#states.set(session, state);
    if (this.#timer === undefined) {
      this.#lastTick = performance.now();
      this.#timer = setInterval(this.#tick, this.#period);
    }
  }

  remove(session: Session): void {
    this.#states.delete(session);
    if (this.#states.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  readonly #tick = (): void => {
    const now = performance.now();
    const late = now - this.#lastTick > this.#period + this.#timeout / 2;
    this.#lastTick = now;
    if (late) {
      // The process itself was held up: answers may wait to be read.
      this.#forgive(now);
      return;
    }
    for (const [session, state] of this.#states) {
      if (session.socket.readyState !== session.socket.OPEN) this.#hasten(session, state, now);
      else if (this.#interval > 0) this.#probe(session, state, now);
    }
  };

  #probe(session: Session, state: State, now: number): void {
    // Any byte is a sign of life, even one of a frame that takes minutes to arrive.
    const { bytesRead } = session.connection;
    const blocked = session.socket.bufferedAmount > 0;
    if (bytesRead !== state.bytesRead || blocked) {
      state.bytesRead = bytesRead;
      state.quietSince = now;
      state.pingedAt = undefined;
    } else if (session.held) {
      // We don't read, so its silence means nothing. But a peer that is gone answers our data with a reset.
      state.pingedAt = undefined;
      if (now - state.quietSince < this.#interval - this.#early) return;
      state.quietSince = now;
      session.socket.ping();
      this.#held?.(session);
    } else if (state.pingedAt !== undefined) {
      if (now - state.pingedAt >= this.#timeout) session.cut(deadPeer);
    } else if (now - state.quietSince >= this.#interval - this.#early) {
      state.pingedAt = now;
      session.socket.ping();
    }
  }

  #hasten(session: Session, state: State, now: number): void {
    const { bufferedAmount } = session.socket;
    if (state.closingSince === undefined || bufferedAmount !== state.buffered || session.heldByUs) {
      state.closingSince = now;
      state.buffered = bufferedAmount;
    } else if (now - state.closingSince >= this.#closeTimeout) session.terminate();
  }

  #forgive(now: number): void {
    for (const state of this.#states.values()) {
      state.quietSince = now;
      state.pingedAt = undefined;
      state.closingSince = undefined;
    }
  }
}
