import type { Range } from './format.ts';

/**
 * Which entries are acknowledged: all below a number, and some above it whose turn came early. One that waits may have
 * any number of others behind it that are done, so these are kept as runs.
 */
export class Acknowledged {
  #first: number;
  /** First and last of each run, both in it, ascending. There is a gap before each. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  /** How many there are in the runs. */
  #early = 0;

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
    return last - this.#first + 1 - this.#early;
  }

  has(number: number): boolean {
    if (number < this.#first) return true;
    const at = this.#runBefore(number);
    return at >= 0 && number <= this.#ends[at]!;
  }

  /** @returns false when it was acknowledged before */
  add(number: number): boolean {
    if (number < this.#first) return false;
    const at = this.#runBefore(number);
    if (at >= 0 && number <= this.#ends[at]!) return false;
    if (number === this.#first) {
      this.#first++;
      if (this.#starts[0] !== this.#first) return true;
      this.#early -= this.#ends[0]! - this.#first + 1;
      this.#first = this.#ends[0]! + 1;
      this.#starts.shift();
      this.#ends.shift();
      return true;
    }
    this.#early++;
    const after = at + 1;
    const joinsBefore = at >= 0 && this.#ends[at] === number - 1;
    const joinsAfter = this.#starts[after] === number + 1;
    if (joinsBefore && joinsAfter) {
      this.#ends[at] = this.#ends[after]!;
      this.#starts.splice(after, 1);
      this.#ends.splice(after, 1);
    } else if (joinsBefore) this.#ends[at] = number;
    else if (joinsAfter) this.#starts[after] = number;
    else {
      this.#starts.splice(after, 0, number);
      this.#ends.splice(after, 0, number);
    }
    return true;
  }

  addRange([first, count]: Range): void {
    for (let number = Math.max(first, this.#first); number < first + count; number++) this.add(number);
  }

  /** All before `first` are acknowledged. */
  raise(first: number): void {
    for (let number = this.#first; number < first; number++) this.add(number);
  }

  /** The last run that begins at or before `number`, -1 if none does. */
  #runBefore(number: number): number {
    let low = -1;
    let high = this.#starts.length - 1;
    // The newest are mostly the highest.
    if (high < 0 || this.#starts[high]! <= number) return high;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= number) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
