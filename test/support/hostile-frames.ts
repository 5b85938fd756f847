/** Header and mask of a frame of a client, with every field as given; the mask is zero. */
export interface RawFrame {
  readonly first: number;
  readonly masked?: boolean;
  /** The length as it is declared, in the shortest field that holds it, or in 2 or 8 bytes. */
  readonly length?: number | bigint;
  readonly lengthBytes?: 0 | 2 | 8;
  readonly payload?: Uint8Array;
}

/** A frame to the bit, for what `frame` cannot say. */
export function rawFrame(options: RawFrame): Buffer {
  const { first, masked = true, payload = Buffer.alloc(0) } = options;
  const length = BigInt(options.length ?? payload.length);
  const size = options.lengthBytes ?? (length < 126n ? 0 : length < 65_536n ? 2 : 8);
  const bit = masked ? 0x80 : 0;
  const header = Buffer.alloc(2 + size);
  header[0] = first;
  if (size === 0) header[1] = bit | Number(length);
  else if (size === 2) {
    header[1] = bit | 126;
    header.writeUInt16BE(Number(length), 2);
  } else {
    header[1] = bit | 127;
    header.writeBigUInt64BE(length, 2);
  }
  return Buffer.concat([header, Buffer.alloc(masked ? 4 : 0), payload]);
}
