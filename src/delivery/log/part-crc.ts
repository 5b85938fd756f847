import { crc32 } from 'node:zlib';

const APART = 1024;

/**
 * Computes the CRC of any part of a buffer in next to no time, however long the part is: from the CRCs of the buffer's
 * prefixes, as zlib's `crc32_combine` does. A search for records in bytes that a sender may have chosen must not read
 * all of them once for each place that looks like a record.
 */
export class PartCrcs {
  readonly #bytes: Buffer;
  readonly #from: number;
  /** The CRCs of the bytes from `#from` up to each multiple of `APART` after it. */
  readonly #beginnings = [0];

  /** For parts that begin at or after `from`. */
  constructor(bytes: Buffer, from: number) {
    this.#bytes = bytes;
    this.#from = from;
  }

  /** The same as `crc32(bytes.subarray(start, end), seed)`. */
  of(start: number, end: number, seed: number): number {
    return (this.#upTo(end) ^ behind((this.#upTo(start) ^ seed) >>> 0, end - start)) >>> 0;
  }

  #upTo(end: number): number {
    const beginnings = this.#beginnings;
    const wanted = Math.floor((end - this.#from) / APART);
    while (beginnings.length <= wanted) {
      const at = this.#from + (beginnings.length - 1) * APART;
      beginnings.push(crc32(this.#bytes.subarray(at, at + APART), beginnings.at(-1)));
    }
    return crc32(this.#bytes.subarray(this.#from + wanted * APART, end), beginnings[wanted]);
  }
}

/** Advances a CRC over 2^n zero bytes: a matrix over GF(2) for each n, a column for each bit. */
const matrices: Uint32Array[] = [];

function matrix(n: number): Uint32Array {
  while (matrices.length <= n) {
    const before = matrices.at(-1);
    matrices.push(before === undefined ? oneByte() : squared(before));
  }
  return matrices[n]!;
}

function oneByte(): Uint32Array {
  const oneBit = Uint32Array.from({ length: 32 }, (_, bit) => (bit === 0 ? 0xedb88320 : 2 ** (bit - 1)));
  return squared(squared(squared(oneBit)));
}

function squared(operator: Uint32Array): Uint32Array {
  return operator.map((column) => times(operator, column));
}

function times(operator: Uint32Array, vector: number): number {
  let sum = 0;
  for (let rest = vector, bit = 0; rest !== 0; rest >>>= 1, bit++)
    if ((rest & 1) !== 0) sum ^= operator[bit]!;
  return sum >>> 0;
}

/** The CRC after that many zero bytes, without the CRC of the zeros themselves. */
function behind(crc: number, bytes: number): number {
  let value = crc;
  for (let rest = bytes, n = 0; rest > 0; rest = Math.floor(rest / 2), n++) {
    if (rest % 2 === 1) value = times(matrix(n), value);
  }
  return value;
}
