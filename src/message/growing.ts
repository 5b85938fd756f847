/** Bytes that are added to, in memory that grows. */
export class Growing {
  /** The memory; `view` reads and writes it. Both are others after `more`. */
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView<ArrayBuffer>;
  length = 0;

  /** `size`: the number of bytes that are expected. */
  constructor(size: number) {
    this.bytes = new Uint8Array(Math.max(size, 16));
    this.view = new DataView(this.bytes.buffer);
  }

  /** Counts `count` more bytes and makes room for them. @returns the offset of the first */
  more(count: number): number {
    const start = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.bytes.length * 2));
      larger.set(this.bytes.subarray(0, start));
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return start;
  }

  /** Adds a copy of bytes. */
  add(bytes: Uint8Array): void {
    const at = this.more(bytes.length);
    this.bytes.set(bytes, at);
  }

  addU32(value: number): void {
    const at = this.more(4);
    this.view.setUint32(at, value, true);
  }

  /** Everything that was added. */
  get written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  /** The same, of `addU32`. */
  get numbers(): Uint32Array {
    return new Uint32Array(this.bytes.buffer, 0, this.length / 4);
  }
}
