const SMALLEST = 16;

/** A queue. Access to both ends takes constant time, and removed items are not held. */
export class Fifo<T> {
  /** A ring, whose length is a power of two. */
  #ring: (T | undefined)[] = [];
  #start = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get first(): T | undefined {
    return this.at(0);
  }

  get last(): T | undefined {
    return this.at(this.#length - 1);
  }

  /** The item at `index` from the first; undefined if there is none. */
  at(index: number): T | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    return this.#ring[(this.#start + index) & (this.#ring.length - 1)];
  }

  push(item: T): void {
    if (this.#length === this.#ring.length) this.#resize(Math.max(SMALLEST, this.#length * 2));
    this.#ring[(this.#start + this.#length) & (this.#ring.length - 1)] = item;
    this.#length++;
  }

  /** Removes the first item. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#ring[this.#start];
    this.#ring[this.#start] = undefined;
    this.#start = (this.#start + 1) & (this.#ring.length - 1);
    this.#length--;
    if (this.#length * 8 < this.#ring.length && this.#ring.length > SMALLEST)
      this.#resize(this.#ring.length / 2);
    return item;
  }

  clear(): void {
    this.#ring = [];
    this.#start = 0;
    this.#length = 0;
  }

  #resize(size: number): void {
    const ring: (T | undefined)[] = Array.from({ length: size });
    for (let index = 0; index < this.#length; index++) ring[index] = this.at(index);
    this.#ring = ring;
    this.#start = 0;
  }
}
