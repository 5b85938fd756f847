import { readFileSync, readdirSync } from 'node:fs';
import type { Socket } from 'node:net';

/** How long a count of other open descriptors stays valid, in milliseconds. */
const COUNT_AGE = 5_000;

/**
 * The number of connections that the listeners of the process may hold together, so that descriptors are left for
 * files: the log must open its next segment whoever connects. Node raises the soft limit to the hard one when it
 * starts, so the limit is that of the process (docs/decisions/0006-open-files.md).
 */
export class Descriptors {
  /** Infinity if it is not known. */
  readonly limit: number;
  #connections = 0;
  #others = 0;
  #countedAt = -Infinity;
  readonly #closed = (): void => void this.#connections--;

  constructor(limit = openFilesLimit()) {
    this.limit = limit;
  }

  /** Descriptors for files and everything else that the process opens. */
  get #reserve(): number {
    return Math.min(256, Math.floor(this.limit / 8));
  }

  /** Connections beside `allowed` for one listener that serves health and the like. */
  get forHealth(): number {
    return Math.min(64, Math.max(4, Math.floor(this.limit / 16)));
  }

  /** Connections beyond `allowed` that may be open for as long as it takes to refuse them. */
  get forRefusals(): number {
    return this.forHealth;
  }

  get allowed(): number {
    return Math.max(1, this.limit - this.#reserve - this.forHealth - this.forRefusals - this.#others);
  }

  /** More connections are open than allowed. */
  get full(): boolean {
    return this.#connections > this.allowed;
  }

  /** There is no room for a refusal either. */
  get overfull(): boolean {
    return this.#connections > this.allowed + this.forRefusals;
  }

  /** Counts a connection until it closes. */
  add(socket: Socket): void {
    this.#connections++;
    socket.on('close', this.#closed);
    this.count();
  }

  /** Other open descriptors leave no room for connections at all; the system may be closing connections silently. */
  get exhausted(): boolean {
    return this.#others + this.#connections >= this.limit - this.forHealth;
  }

  /** Counts the other open descriptors, unless that was done just now. */
  count(): void {
    const now = performance.now();
    if (this.limit === Infinity || now - this.#countedAt < COUNT_AGE) return;
    this.#countedAt = now;
    try {
      this.#others = Math.max(0, readdirSync('/proc/self/fd').length - this.#connections);
    } catch {
      // No descriptor is left to look with.
      this.#others = this.limit - this.#connections;
    }
  }
}

/** The process's limit of open files, if the system tells it. */
function openFilesLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}
