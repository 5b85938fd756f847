import { constants, deflateRawSync } from 'node:zlib';

const MIB = 1024 * 1024;
const WINDOW = 32 * 1024;

/**
 * So many MiB of zeros, deflated to about a kilobyte each, and flushed. Only two of them are: the others are the second
 * one again, because all that it looks back at is zeros as well.
 */
export function deflatedZeros(mebibytes: number): Buffer {
  const options = { level: 9, finishFlush: constants.Z_SYNC_FLUSH };
  const zeros = Buffer.alloc(MIB);
  const first = deflateRawSync(zeros, options);
  const next = deflateRawSync(zeros, { ...options, dictionary: Buffer.alloc(WINDOW) });
  return Buffer.concat([first, ...Array<Buffer>(mebibytes - 1).fill(next)]);
}
