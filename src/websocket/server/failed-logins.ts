import { addressGroup } from './proxies.ts';

const WINDOW = 60_000;

/** So many addresses are remembered; then the oldest is forgotten. */
const MAX_ADDRESSES = 10_000;

/** Counts failures to authenticate by address, each for a minute from the first. */
export class FailedLogins {
  readonly #limit: number;
  /** In the order in which their minutes end. */
  readonly #addresses = new Map<string, { count: number; readonly end: number }>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#addresses.size;
  }

  /** Seconds until the address may try again; 0 when it may now. */
  retryAfter(address: string): number {
    const entry = this.#addresses.get(addressGroup(address));
    if (entry === undefined || entry.count < this.#limit) return 0;
    return Math.max(0, Math.ceil((entry.end - performance.now()) / 1000));
  }

  add(address: string): void {
    this.#forgetOld();
    const group = addressGroup(address);
    const entry = this.#addresses.get(group);
    if (entry !== undefined) entry.count++;
    else this.#addresses.set(group, { count: 1, end: performance.now() + WINDOW });
  }

  #forgetOld(): void {
    const now = performance.now();
    for (const [group, { end }] of this.#addresses) {
      if (end > now && this.#addresses.size < MAX_ADDRESSES) break;
      this.#addresses.delete(group);
    }
  }
}
