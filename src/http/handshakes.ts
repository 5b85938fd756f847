import type { Server } from 'node:http';
import type { Socket } from 'node:net';

interface Waiting {
  readonly socket: Socket;
  readonly since: number;
  readonly closed: () => void;
}

/** Whatever else is configured, so many may be at their handshake at once. */
const FLOOR = 128;

/**
 * The connections of a server that have not got as far as a request. Anybody can open some and say nothing, so there
 * are only so many of them, and each only for so long: beyond the limit the oldest goes, because a client that means it
 * is done in no time.
 */
export class Handshakes {
  /** By address and port of the peer, because a request knows the socket inside TLS, and a server the one outside. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #dropped: (remoteAddress: string | undefined) => void;
  #limit = Infinity;
  #patience: number;
  readonly #timer: NodeJS.Timeout;

  /** `patience` and `checking` in milliseconds; `dropped` is told of those that made room for others. */
  constructor(
    server: Server,
    options: { patience: number; checking: number },
    dropped: (remoteAddress: string | undefined) => void,
  ) {
    this.#dropped = dropped;
    this.#patience = options.patience;
    server.on('connection', (socket: Socket) => this.#opened(socket));
    // Node's own timeouts begin when TLS is done. They come first where there is none, and answer with 408.
    this.#timer = setInterval(() => this.#expire(), options.checking).unref();
  }

  set limit(connections: number) {
    this.#limit = Math.max(FLOOR, connections);
  }

  set patience(milliseconds: number) {
    this.#patience = milliseconds;
  }

  /** The connection of `socket` has a request. */
  done(socket: Socket): void {
    const key = keyOf(socket);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    waiting.socket.off('close', waiting.closed);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #opened(socket: Socket): void {
    const key = keyOf(socket);
    const closed = (): void => void this.#waiting.delete(key);
    this.#waiting.set(key, { socket, since: performance.now(), closed });
    socket.once('close', closed);
    if (this.#waiting.size <= this.#limit) return;
    const { socket: oldest } = this.#waiting.values().next().value!;
    const { remoteAddress } = oldest;
    this.done(oldest);
    oldest.destroy();
    this.#dropped(remoteAddress);
  }

  #expire(): void {
    const before = performance.now() - this.#patience;
    for (const { socket, since } of this.#waiting.values()) {
      if (since > before) return;
      socket.destroy();
    }
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
