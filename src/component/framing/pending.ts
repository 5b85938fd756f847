const EMPTY = new Uint8Array(0);

/** Bytes that wait for others. Bytes that it has returned are never written to again. */
export class Pending {
  #memory: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;
  /** True if the memory is its own, so that it may write behind `#end`. */
  #own = false;

  get length(): number {
    return this.#end - this.#start;
  }

  /** Returns the waiting bytes and `bytes` behind them, in one piece. All of it waits now. */
  take(bytes: Uint8Array): Uint8Array {
    if (this.length === 0) {
      this.#memory = bytes;
      this.#start = 0;
      this.#end = bytes.length;
      this.#own = false;
      return bytes;
    }
    const length = this.length + bytes.length;
    if (!this.#own || this.#end + bytes.length > this.#memory.length) {
      // Double the size, so that a long message is not copied once for each piece.
      const memory = Buffer.allocUnsafeSlow(2 * length);
      memory.set(this.#memory.subarray(this.#start, this.#end));
      this.#memory = memory;
      this.#end -= this.#start;
      this.#start = 0;
      this.#own = true;
    }
    this.#memory.set(bytes, this.#end);
    this.#end += bytes.length;
    return this.#memory.subarray(this.#start, this.#end);
  }

  /** The first `count` bytes wait no longer. */
  skip(count: number): void {
    this.#start += count;
    if (this.#start === this.#end) this.clear();
  }

  /** Returns the waiting bytes and keeps none. */
  drain(): Uint8Array {
    const rest = this.#memory.subarray(this.#start, this.#end);
    this.clear();
    return rest;
  }

  clear(): void {
    this.#memory = EMPTY;
    this.#start = 0;
    this.#end = 0;
    this.#own = false;
  }
}
