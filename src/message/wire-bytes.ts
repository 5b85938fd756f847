import { u48 } from './u48.ts';
import { wireErrors } from './wire-errors.ts';
import { MillraceError } from '../errors.ts';

/** Bytes in pieces, for what is short or rare: nobody has to know how many there will be. All numbers are little-endian. */
export class WireParts {
  readonly #parts: Uint8Array[] = [];

  u8(value: number): void {
    this.#parts.push(Uint8Array.of(value));
  }

  u32(value: number): void {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32LE(value);
    this.#parts.push(part);
  }

  f64(value: number): void {
    const part = Buffer.allocUnsafe(8);
    part.writeDoubleLE(value);
    this.#parts.push(part);
  }

  /** Its length, and UTF-8. */
  text(value: string): void {
    const bytes = Buffer.from(value);
    this.u32(bytes.length);
    this.#parts.push(bytes);
  }

  bytes(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }

  /** The numbers of a typed array. */
  numbers(array: ArrayBufferView): void {
    // Every machine that Node runs on is little-endian.
    this.#parts.push(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }

  all(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** Reads what is written so. @throws RangeError for what is too short */
export class WireReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#advance(1));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#advance(4));
  }

  u48(): number {
    return u48.read(this.#buffer, this.#advance(u48.bytes));
  }

  f64(): number {
    return this.#buffer.readDoubleLE(this.#advance(8));
  }

  /** Its length, and so many bytes. */
  text(): Buffer {
    return this.bytes(this.u32());
  }

  /** A view. */
  bytes(count: number): Buffer {
    const at = this.#advance(count);
    return this.#buffer.subarray(at, at + count);
  }

  /** A copy, since numbers of more than a byte must lie at certain places in memory. */
  copy(count: number): ArrayBuffer {
    return Uint8Array.from(this.bytes(count)).buffer;
  }

  many<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.u32(); left > 0; left--) items.push(read());
    return items;
  }

  /** @throws RangeError if there is more */
  end(): void {
    if (this.#at !== this.#buffer.length) throw new RangeError('the content has more than it should');
  }

  #advance(count: number): number {
    const at = this.#at;
    if (at + count > this.#buffer.length) throw new RangeError('the content is too short');
    this.#at = at + count;
    return at;
  }
}

/** Refuses a tag that stands for nothing here: whatever follows it cannot be read, and must not be read as something else. */
export function unknownTag(what: string, tag: number | string): MillraceError {
  return new MillraceError(
    wireErrors.MILLRACE_WAL_VERSION,
    `${what} has the tag ${tag}, which this version of Millrace does not know, so a newer one has written it; let that version deliver it`,
    { fatal: true },
  );
}
