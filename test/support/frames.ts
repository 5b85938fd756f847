/** WebSocket frames, byte by byte (RFC 6455 section 5.2), for peers that do what no library does. */

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameOptions {
  readonly fin?: boolean;
  /** True for frames of a client. */
  readonly mask?: boolean;
  /** The length to declare, where it is not the payload's. */
  readonly declared?: number;
}

const MASK = Buffer.from([0x12, 0x34, 0x56, 0x78]);

export function frame(
  opcode: keyof typeof opcodes,
  content: string | Uint8Array = '',
  options: FrameOptions = {},
): Buffer {
  const { fin = true, mask = false } = options;
  const payload = Buffer.from(content as string);
  const first = (fin ? 0x80 : 0) | opcodes[opcode];
  const header = Buffer.concat([
    Buffer.from([first]),
    lengthField(options.declared ?? payload.length, mask ? 0x80 : 0),
  ]);
  if (!mask) return Buffer.concat([header, payload]);
  for (let at = 0; at < payload.length; at++) payload[at]! ^= MASK[at & 3]!;
  return Buffer.concat([header, MASK, payload]);
}

export function closeFrame(code: number, reason = '', options: FrameOptions = {}): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return frame('close', Buffer.concat([head, Buffer.from(reason)]), options);
}

function lengthField(length: number, bit: number): Buffer {
  if (length < 126) return Buffer.from([bit | length]);
  if (length < 65_536) {
    const field = Buffer.from([bit | 126, 0, 0]);
    field.writeUInt16BE(length, 1);
    return field;
  }
  const field = Buffer.alloc(9);
  field[0] = bit | 127;
  field.writeBigUInt64BE(BigInt(length), 1);
  return field;
}

/** A frame that has been read. */
export interface ReadFrame {
  readonly opcode: number;
  /** There when the bit is set that says so (RFC 7692 section 6). */
  readonly compressed?: true;
  readonly payload: Buffer;
}

/** The whole frames at the start of `bytes`, unmasked, and the bytes after them. */
export function readFrames(bytes: Buffer): { frames: ReadFrame[]; rest: Buffer } {
  const frames: ReadFrame[] = [];
  let at = 0;
  for (;;) {
    const incomplete = { frames, rest: bytes.subarray(at) };
    if (bytes.length < at + 2) return incomplete;
    const opcode = bytes[at]! & 0x0f;
    const compressed = (bytes[at]! & 0x40) !== 0;
    const masked = (bytes[at + 1]! & 0x80) !== 0;
    let length = bytes[at + 1]! & 0x7f;
    let start = at + 2;
    if (length === 126) {
      if (bytes.length < start + 2) return incomplete;
      length = bytes.readUInt16BE(start);
      start += 2;
    } else if (length === 127) {
      if (bytes.length < start + 8) return incomplete;
      length = Number(bytes.readBigUInt64BE(start));
      start += 8;
    }
    const mask = masked ? bytes.subarray(start, start + 4) : undefined;
    if (masked) start += 4;
    if (bytes.length < start + length) return incomplete;
    const payload = Buffer.from(bytes.subarray(start, start + length));
    if (mask !== undefined) for (let i = 0; i < length; i++) payload[i]! ^= mask[i & 3]!;
    frames.push({ opcode, payload, ...(compressed && { compressed }) });
    at = start + length;
  }
}

/** The code of the first close frame, if one is there. */
export function closeCodeOf(frames: readonly ReadFrame[]): number | undefined {
  const close = frames.find(({ opcode }) => opcode === opcodes.close);
  return close === undefined || close.payload.length < 2 ? undefined : close.payload.readUInt16BE(0);
}
