import type { WebSocket } from 'ws';

/** Counts the connections of a server, at their handshake or open, in all and by the client's address. */
export class Slots {
  readonly #limit: number;
  readonly #limitPerAddress: number;
  #taken = 0;
  readonly #byAddress = new Map<string, number>();

  constructor(limits: { connections: number; connections_per_address?: number | undefined }) {
    this.#limit = limits.connections;
    this.#limitPerAddress = limits.connections_per_address ?? Infinity;
  }

  /** Undefined when there is none left. */
  take(): Slot | undefined {
    if (this.#taken >= this.#limit) return undefined;
    this.#taken++;
    return new Slot(this);
  }

  /** Of `Slot`. */
  assign(address: string): boolean {
    const taken = this.#byAddress.get(address) ?? 0;
    if (taken >= this.#limitPerAddress) return false;
    if (this.#limitPerAddress < Infinity) this.#byAddress.set(address, taken + 1);
    return true;
  }

  /** Of `Slot`. */
  release(address: string | undefined): void {
    this.#taken--;
    const taken = address === undefined ? undefined : this.#byAddress.get(address);
    if (taken === undefined) return;
    if (taken > 1) this.#byAddress.set(address!, taken - 1);
    else this.#byAddress.delete(address!);
  }
}

/** A connection's place, from the request to the end. */
export class Slot {
  readonly #slots: Slots;
  #address: string | undefined;

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  /** Counts it for its client's address too; false when that has its share already. */
  assign(address: string): boolean {
    if (!this.#slots.assign(address)) return false;
    this.#address = address;
    return true;
  }

  /** Gives it back; once only. */
  release(): void {
    this.#slots.release(this.#address);
  }

  /** Gives it back when `socket` closes. Nothing else is kept for as long as a connection is open. */
  releaseWith(socket: WebSocket): void {
    socket.on('close', () => this.release());
  }
}
