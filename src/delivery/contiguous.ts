/**
 * Tracks which numbers are done: all below `first`, and some above it that were done early. Any number of done ones may
 * follow one that is not, so they are kept as ranges.
 *
 * A number may come with a value, such as a cursor: `value` is then that of the highest one below `first`.
 */
export class Contiguous<V = never> {
  #first: number;
  #value: V | undefined;
  readonly #most: number;
  /** The first and last number of each range, both inclusive, ascending. There is a gap before each range. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  /** For each range, the value of its highest number that came with one. */
  readonly #values: (V | undefined)[] = [];
  /** The number of numbers in the ranges. */
  #ahead = 0;

  /** All numbers below `first` are done. Beyond `most` ranges, the lowest is forgotten, as if it had not been done. */
  constructor(first: number, most = Infinity) {
    this.#first = first;
    this.#most = most;
  }

  /** The first number that is not done. */
  get first(): number {
    return this.#first;
  }

  get value(): V | undefined {
    return this.#value;
  }

  /** The number of ranges above `first`. */
  get ranges(): number {
    return this.#starts.length;
  }

  /** The number of numbers up to `last` that are not done. None above `last` may be done. */
  open(last: number): number {
    return last - this.#first + 1 - this.#ahead;
  }

  has(number: number): boolean {
    if (number < this.#first) return true;
    const at = this.#rangeBefore(number);
    return at >= 0 && number <= this.#ends[at]!;
  }

  /**
   * Marks the numbers from `from` to `to` as done. A `value` belongs to the last of them, which must not be done yet.
   * @returns how many of them were not done before
   */
  add(from: number, to = from, value?: V): number {
    const start = Math.max(from, this.#first);
    if (to < start) return 0;
    // The ranges that the new one overlaps or touches.
    const before = this.#rangeBefore(start);
    const low = before >= 0 && this.#ends[before]! >= start - 1 ? before : before + 1;
    let high = low;
    let known = 0;
    let numbers = 0;
    let end = to;
    let [below, above]: (V | undefined)[] = [];
    for (; high < this.#starts.length && this.#starts[high]! <= to + 1; high++) {
      const [itsStart, itsEnd] = [this.#starts[high]!, this.#ends[high]!];
      numbers += itsEnd - itsStart + 1;
      known += Math.max(0, Math.min(itsEnd, to) - Math.max(itsStart, start) + 1);
      if (itsEnd > to) {
        end = itsEnd;
        above = this.#values[high];
      } else below = this.#values[high] ?? below;
    }
    const highest = above ?? value ?? below;
    const added = to - start + 1 - known;
    if (start === this.#first) {
      this.#first = end + 1;
      this.#value = highest ?? this.#value;
      this.#ahead -= numbers;
      this.#replace(low, high);
    } else {
      this.#ahead += added;
      this.#replace(low, high, [Math.min(start, this.#starts[low] ?? start), end, highest]);
      if (this.#starts.length > this.#most) this.#forgetLowest();
    }
    return added;
  }

  /** Replaces the ranges from `low` to before `high` with one range, or none. */
  #replace(low: number, high: number, range?: [start: number, end: number, value: V | undefined]): void {
    if (range === undefined) {
      if (high === low) return;
      this.#starts.splice(low, high - low);
      this.#ends.splice(low, high - low);
      this.#values.splice(low, high - low);
      return;
    }
    const [start, end, value] = range;
    if (high === low + 1) {
      this.#starts[low] = start;
      this.#ends[low] = end;
      this.#values[low] = value;
      return;
    }
    this.#starts.splice(low, high - low, start);
    this.#ends.splice(low, high - low, end);
    this.#values.splice(low, high - low, value);
  }

  #forgetLowest(): void {
    this.#ahead -= this.#ends.shift()! - this.#starts.shift()! + 1;
    this.#values.shift();
  }

  /** The last range that begins at or before `number`; -1 if none does. */
  #rangeBefore(number: number): number {
    let high = this.#starts.length - 1;
    // The newest numbers are mostly the highest.
    if (high < 0 || this.#starts[high]! <= number) return high;
    let low = -1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= number) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
