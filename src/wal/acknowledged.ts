import type { Range } from './format.ts';

/** Which entries are acknowledged: all below a number, and some above it whose turn came early. */
export class Acknowledged {
  #first: number;
  readonly #early = new Set<number>();

  /** All entries before `first` are acknowledged. */
  constructor(first: number) {
    this.#first = first;
  }

  /** The first entry that is not acknowledged; it may not exist yet. */
  get first(): number {
    return this.#first;
  }

  /** How many of those up to `last` are not. */
  open(last: number): number {
    return last - this.#first + 1 - this.#early.size;
  }

  has(number: number): boolean {
    return number < this.#first || this.#early.has(number);
  }

  /** @returns false when it was acknowledged before */
  add(number: number): boolean {
    if (this.has(number)) return false;
    this.#early.add(number);
    while (this.#early.delete(this.#first)) this.#first++;
    return true;
  }

  addRange([first, count]: Range): void {
    for (let number = Math.max(first, this.#first); number < first + count; number++) this.add(number);
  }

  /** All before `first` are acknowledged. */
  raise(first: number): void {
    for (let number = this.#first; number < first; number++) this.add(number);
  }
}
