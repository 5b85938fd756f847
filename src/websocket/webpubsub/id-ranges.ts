/** So many ranges are kept, which is 16 KiB. */
const MAX_RANGES = 1_000;

/**
 * Numbers that have been seen, as ranges of neighbours: those of a client that counts up take no more room for a million
 * of them than for one. When there are too many ranges the lowest numbers are forgotten.
 */
export class IdRanges {
  /** First and last of each range, both in it, ascending. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** How many ranges there are. */
  get size(): number {
    return this.#starts.length;
  }

  has(id: number): boolean {
    const at = this.#rangeBefore(id);
    return at >= 0 && id <= this.#ends[at]!;
  }

  add(id: number): void {
    const at = this.#rangeBefore(id);
    if (at >= 0 && id <= this.#ends[at]!) return;
    const after = at + 1;
    const joinsBefore = at >= 0 && this.#ends[at] === id - 1;
    const joinsAfter = this.#starts[after] === id + 1;
    if (joinsBefore && joinsAfter) {
      this.#ends[at] = this.#ends[after]!;
      this.#starts.splice(after, 1);
      this.#ends.splice(after, 1);
    } else if (joinsBefore) this.#ends[at] = id;
    else if (joinsAfter) this.#starts[after] = id;
    else {
      this.#starts.splice(after, 0, id);
      this.#ends.splice(after, 0, id);
      if (this.#starts.length <= MAX_RANGES) return;
      this.#starts.shift();
      this.#ends.shift();
    }
  }

  /** The last range that begins at or before `id`, -1 if none does. */
  #rangeBefore(id: number): number {
    // The newest are mostly the highest.
    let high = this.#starts.length - 1;
    if (high < 0 || this.#starts[high]! <= id) return high;
    let low = -1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= id) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
