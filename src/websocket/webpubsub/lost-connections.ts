import type { PubSubConnection } from './connection.ts';
import { KeptFrames } from './kept-frames.ts';

/** The most connections kept without a socket, and the most memory for their messages in total, in bytes. */
const MAX_LOST = 1_000;
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Connections that may return. When there are too many, or they hold too much, the owner with the most loses its
 * oldest: a subject, or an address, cannot take the place of others.
 */
export class LostConnections {
  readonly #frames = new KeptFrames(() => this.#limitBytes());
  /** For each owner, its connections, oldest first, with the timers that end them. */
  readonly #byOwner = new Map<string, Map<PubSubConnection, NodeJS.Timeout>>();
  #size = 0;

  /** Keeps a connection, and ends it after `time` milliseconds. */
  keep(connection: PubSubConnection, time: number): void {
    const { owner } = connection;
    const its = this.#byOwner.get(owner) ?? new Map<PubSubConnection, NodeJS.Timeout>();
    this.#byOwner.set(owner, its);
    its.set(
      connection,
      setTimeout(() => connection.end(), time),
    );
    this.#size++;
    if (this.#size > MAX_LOST) this.#endOneOf(this.#most((each) => each.size));
    connection.keepIn(this.#frames);
  }

  /** Call when it has returned or ended. */
  release(connection: PubSubConnection): void {
    const its = this.#byOwner.get(connection.owner);
    const timer = its?.get(connection);
    if (timer === undefined) return;
    clearTimeout(timer);
    its!.delete(connection);
    if (its!.size === 0) this.#byOwner.delete(connection.owner);
    this.#size--;
    connection.keepIn(undefined);
  }

  #limitBytes(): void {
    while (this.#frames.bytes > MAX_BYTES && this.#size > 0) this.#endOneOf(this.#most(bytesOf));
  }

  #endOneOf(connections: ReadonlyMap<PubSubConnection, unknown>): void {
    for (const connection of connections.keys()) return connection.end();
  }

  #most(
    measure: (its: ReadonlyMap<PubSubConnection, unknown>) => number,
  ): ReadonlyMap<PubSubConnection, unknown> {
    let most: ReadonlyMap<PubSubConnection, unknown> = new Map();
    let highest = -1;
    for (const its of this.#byOwner.values()) {
      const value = measure(its);
      if (value <= highest) continue;
      most = its;
      highest = value;
    }
    return most;
  }
}

function bytesOf(its: ReadonlyMap<PubSubConnection, unknown>): number {
  let sum = 0;
  for (const { outgoing } of its.keys()) sum += outgoing.waiting;
  return sum;
}
