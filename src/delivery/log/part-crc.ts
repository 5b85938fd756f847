import { crc32 } from 'node:zlib';

const APART = 1024;

/**
 * CRCs of parts of a piece of memory, each in next to no time however long it is: from those of its beginnings, as zlib's
 * `crc32_combine` does. What looks for records in what a sender may have written must not read all of it once for each
 * place that looks like one.
 */
export class PartCrcs {
  readonly #bytes: Buffer;
  readonly #from: number;
  /** Of the bytes from `#from` on, up to each multiple of `APART` behind it. */
  readonly #beginnings = [0];

  /** Of parts that begin at `from` or behind it. */
  constructor(bytes: Buffer, from: number) {
    this.#bytes = bytes;
    this.#from = from;
  }

  /** As `crc32(bytes.subarray(start, end), seed)`. */
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

/** What becomes of a CRC behind 2^n bytes of zeros: a matrix over GF(2) for each n, a column for each bit. */
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

/** The CRC behind so many bytes of zeros, without the CRC of these. */
function behind(crc: number, bytes: number): number {
  let value = crc;
  for (let rest = bytes, n = 0; rest > 0; rest = Math.floor(rest / 2), n++) {
    if (rest % 2 === 1) value = times(matrix(n), value);
  }
  return value;
}
