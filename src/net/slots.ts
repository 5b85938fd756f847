import type { WebSocket } from 'ws';
import { addressGroup } from './proxies.ts';

/** Counts a server's connections, open or in their handshake, in total and by the client's `addressGroup`. */
export class Slots {
  readonly #limit: number;
  readonly #limitPerAddress: number;
  #taken = 0;
  readonly #byGroup = new Map<string, number>();

  constructor(limits: { connections: number; connections_per_address?: number | undefined }) {
    this.#limit = limits.connections;
    this.#limitPerAddress = limits.connections_per_address ?? Infinity;
  }

  /** Takes a slot; undefined when none is left. */
  take(): Slot | undefined {
    if (this.#taken >= this.#limit) return undefined;
    this.#taken++;
    return new Slot(this);
  }

  /** Of `Slot`. */
  assign(group: string): boolean {
    const taken = this.#byGroup.get(group) ?? 0;
    if (taken >= this.#limitPerAddress) return false;
    if (this.#limitPerAddress < Infinity) this.#byGroup.set(group, taken + 1);
    return true;
  }

  /** Of `Slot`. */
  release(group: string | undefined): void {
    this.#taken--;
    const taken = group === undefined ? undefined : this.#byGroup.get(group);
    if (taken === undefined) return;
    if (taken > 1) this.#byGroup.set(group!, taken - 1);
    else this.#byGroup.delete(group!);
  }
}

/** A connection's slot, held from the request to the end. */
export class Slot {
  readonly #slots: Slots;
  #group: string | undefined;

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  /** Counts it for its client's address too; false when the address already has its share. */
  assign(address: string): boolean {
    const group = addressGroup(address);
    if (!this.#slots.assign(group)) return false;
    this.#group = group;
    return true;
  }

  /** Gives it back; once only. */
  release(): void {
    this.#slots.release(this.#group);
  }

  /** Gives it back when `socket` closes. It is all that is kept for an open connection. */
  releaseWith(socket: WebSocket): void {
    socket.on('close', () => this.release());
  }
}
