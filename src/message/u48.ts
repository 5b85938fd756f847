/** Six bytes, little-endian: exact in a JavaScript number. */
export const u48 = {
  bytes: 6,
  write: (buffer: Buffer, value: number, at: number): number => buffer.writeUIntLE(value, at, 6),
  read: (buffer: Buffer, at: number): number => buffer.readUIntLE(at, 6),
};
