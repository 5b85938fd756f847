import { addressGroup } from '../proxies.ts';

const WINDOW = 60_000;

/** The number of addresses to remember; beyond it, the oldest is forgotten. */
const MAX_ADDRESSES = 10_000;

/** After this many further failures, an address counts as guessing, not as a device with an old token. */
const MAX_GUESSES = 1_000;

/** How many signatures of one address are verified at a time once it has failed too often. */
const MAX_LOOKS = 16;

/** The record of an address, kept for a minute from its first failure. */
interface Entry {
  readonly end: number;
  failures: number;
  looks: number;
}

/**
 * Counts failures to authenticate by address. An address with too many is told so when it fails again. A correct
 * credential is accepted all the same, because several clients may share the address. The cost is bounded.
 */
export class FailedLogins {
  readonly #limit: number;
  /** In the order in which their minutes end. */
  readonly #addresses = new Map<string, Entry>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#addresses.size;
  }

  /** Seconds until a failure of the address is an ordinary one again; 0 if it is one now. */
  retryAfter(address: string): number {
    const entry = this.#locked(address);
    return entry === undefined ? 0 : Math.ceil((entry.end - performance.now()) / 1000);
  }

  /** Whether a correct secret that the address shows for the first time may have been guessed. */
  guesses(address: string): boolean {
    return (this.#locked(address)?.failures ?? 0) >= this.#limit + MAX_GUESSES;
  }

  /** Begins to verify a token, which takes time; undefined when too many of the address are being verified. */
  look(address: string): { end(): void } | undefined {
    const entry = this.#locked(address);
    if (entry === undefined) return { end: () => {} };
    if (entry.looks >= MAX_LOOKS) return undefined;
    entry.looks++;
    return { end: () => void entry.looks-- };
  }

  add(address: string): void {
    this.#forgetOld();
    const group = addressGroup(address);
    const entry = this.#addresses.get(group);
    if (entry !== undefined) entry.failures++;
    else this.#addresses.set(group, { failures: 1, looks: 0, end: performance.now() + WINDOW });
  }

  #locked(address: string): Entry | undefined {
    const entry = this.#addresses.get(addressGroup(address));
    return entry !== undefined && entry.failures >= this.#limit && entry.end > performance.now()
      ? entry
      : undefined;
  }

  #forgetOld(): void {
    const now = performance.now();
    for (const [group, { end }] of this.#addresses) {
      if (end > now && this.#addresses.size < MAX_ADDRESSES) break;
      this.#addresses.delete(group);
    }
  }
}
