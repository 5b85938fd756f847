import { u48 } from './u48.ts';
import { wireErrors } from './wire-errors.ts';
import { MillraceError } from '../errors.ts';

/** Bytes in pieces, for short or rare content whose length is not known in advance. All numbers are little-endian. */
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

  /** The length, and the text in UTF-8. */
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

/** Reads what `WireParts` wrote. @throws RangeError for bytes that are too short */
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

  /** Reads a length, and that many bytes. */
  text(): Buffer {
    return this.bytes(this.u32());
  }

  /** A view. */
  bytes(count: number): Buffer {
    const at = this.#advance(count);
    return this.#buffer.subarray(at, at + count);
  }

  /** A copy, since numbers of more than one byte must be aligned in memory. */
  copy(count: number): ArrayBuffer {
    return Uint8Array.from(this.bytes(count)).buffer;
  }

  many<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.u32(); left > 0; left--) items.push(read());
    return items;
  }

  /** @throws RangeError if bytes are left */
  end(): void {
    if (this.#at !== this.#buffer.length) throw new RangeError('the content is too long');
  }

  #advance(count: number): number {
    const at = this.#at;
    if (at + count > this.#buffer.length) throw new RangeError('the content is too short');
    this.#at = at + count;
    return at;
  }
}

/** Refuses an unknown tag: whatever follows it cannot be read, and must not be read as something else. */
export function unknownTag(what: string, tag: number | string): MillraceError {
  return new MillraceError(
    wireErrors.MILLRACE_WAL_VERSION,
    `${what} has the tag ${tag}, which this version of Millrace does not know. A newer version has written it; let that version deliver it`,
    { fatal: true },
  );
}
