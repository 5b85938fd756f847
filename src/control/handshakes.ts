import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Descriptors } from './descriptors.ts';

interface Waiting {
  readonly socket: Socket;
  readonly since: number;
  readonly closed: () => void;
  /** The connection was too late at one look, and is closed if it still is at the next: Node answers first. */
  overdue: boolean;
  /** The connection has made a request, on a listener where that changes nothing. */
  served: boolean;
}

/** At least this many may be at their handshake at once, whatever else is configured. */
const FLOOR = 128;

/** The number of displaced connections that are kept for a while, so that their requests get an answer. */
const LEAVING = 1024;

/** How long displaced connections have for their request, in milliseconds. */
const LEAVING_PATIENCE = 1_000;

/**
 * The connections of a server that have not made a request yet. Anyone can open some and stay silent, so their number
 * and their time are limited: beyond the limit the oldest has to leave, because a serious client is done in no time. If
 * thousands of serious clients come at once, the request of one that has to leave is still answered, if it comes soon.
 */
export class Handshakes {
  /** By address and port of the peer, because a request knows the socket inside TLS, and a server the one outside. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #leaving = new Map<string, Waiting>();
  readonly #descriptors: Descriptors;
  readonly #dropped: (remoteAddress: string | undefined) => void;
  #limit = Infinity;
  #brief = false;
  #patience: number;
  readonly #timer: NodeJS.Timeout;

  /**
   * `patience` and `checking` are in milliseconds. `dropped` is called for each connection that made room for others
   * without an answer.
   */
  constructor(
    server: Server,
    options: { patience: number; checking: number; descriptors: Descriptors },
    dropped: (remoteAddress: string | undefined) => void,
  ) {
    this.#dropped = dropped;
    this.#descriptors = options.descriptors;
    this.#patience = options.patience;
    server.on('connection', (socket: Socket) => this.#opened(socket));
    // Node's own timeouts begin when TLS is done. Without TLS they come first, and answer with 408.
    this.#timer = setInterval(() => this.#expire(), options.checking).unref();
  }

  set limit(connections: number) {
    this.#limit = Math.max(FLOOR, connections);
  }

  /**
   * The listener serves only short requests: its connections have descriptors of their own, and count until they close.
   */
  set brief(brief: boolean) {
    this.#brief = brief;
  }

  set patience(milliseconds: number) {
    this.#patience = milliseconds;
  }

  /** The connection of `socket` has a request. @returns false if it had to leave, and must be told so */
  done(socket: Socket): boolean {
    const key = keyOf(socket);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined && this.#brief) waiting.served = true;
    else if (waiting !== undefined) this.#forget(this.#waiting, key, waiting);
    const leaving = this.#leaving.get(key);
    if (leaving === undefined) return true;
    this.#forget(this.#leaving, key, leaving);
    return false;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #opened(socket: Socket): void {
    const key = keyOf(socket);
    const closed = (): void => {
      this.#waiting.delete(key);
      this.#leaving.delete(key);
    };
    const since = performance.now();
    this.#waiting.set(key, { socket, since, closed, overdue: false, served: false });
    socket.once('close', closed);
    if (this.#brief) {
      if (this.#waiting.size > this.#descriptors.forHealth) this.#drop(this.#waiting);
      return;
    }
    this.#descriptors.add(socket);
    if (this.#waiting.size <= this.#limit && !this.#descriptors.full) return;
    const [oldest, entry] = this.#waiting.entries().next().value!;
    this.#waiting.delete(oldest);
    this.#leaving.set(oldest, { ...entry, since, overdue: false });
    if (this.#leaving.size > LEAVING || this.#descriptors.overfull) this.#drop(this.#leaving);
  }

  /** Cuts the oldest connection. */
  #drop(from: Map<string, Waiting>): void {
    const [key, waiting] = from.entries().next().value!;
    const { remoteAddress } = waiting.socket;
    this.#forget(from, key, waiting);
    waiting.socket.destroy();
    this.#dropped(remoteAddress);
  }

  #forget(from: Map<string, Waiting>, key: string, { socket, closed }: Waiting): void {
    from.delete(key);
    socket.off('close', closed);
  }

  #expire(): void {
    this.#descriptors.count();
    const now = performance.now();
    for (const waiting of this.#waiting.values()) {
      if (waiting.since > now - this.#patience) break;
      if (waiting.served) continue;
      if (waiting.overdue) waiting.socket.destroy();
      else waiting.overdue = true;
    }
    for (const { since } of this.#leaving.values()) {
      if (since > now - LEAVING_PATIENCE) break;
      this.#drop(this.#leaving);
    }
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
