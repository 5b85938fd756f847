import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { findRecord } from '../../../src/delivery/log/scanner.ts';
import { PartCrcs } from '../../../src/delivery/log/part-crc.ts';

test('is the CRC that zlib gives for each part, in any order', () => {
  const bytes = Buffer.from(Array.from({ length: 9000 }, (_, index) => (index * index * 7) >>> 3));
  const place = fc.integer({ min: 0, max: bytes.length });
  const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  fc.assert(
    fc.property(place, fc.array(fc.tuple(place, place, seed), { maxLength: 20 }), (from, parts) => {
      const crcs = new PartCrcs(bytes, from);
      for (const [one, other, value] of parts) {
        const start = Math.max(from, Math.min(one, other));
        const end = Math.max(start, one, other);
        expect(crcs.of(start, end, value)).toBe(crc32(bytes.subarray(start, end), value));
      }
    }),
  );
});

test('a payload that looks like many long records is not read once for each of them', () => {
  const bytes = Buffer.alloc(4 * 1024 * 1024);
  for (let at = 0; at + 19 <= bytes.length; at += 19) {
    bytes.writeUInt32LE((bytes.length - at) >> 1, at + 4);
    bytes.writeUIntLE(1000, at + 8, 6);
  }
  let read = 0;
  const part = bytes.subarray.bind(bytes);
  bytes.subarray = (start, end) => {
    const taken = part(start, end);
    read += taken.length;
    return taken;
  };
  expect(findRecord(bytes, 1, [123], 900)).toBeUndefined();
  // About 1 KiB for each of 220,000 places. A CRC of each whole record would read 200 GiB.
  expect(read).toBeGreaterThan(0);
  expect(read).toBeLessThan(1024 ** 3);
});
