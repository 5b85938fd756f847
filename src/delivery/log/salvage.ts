import { join } from 'node:path';
import { errorCode, Flaw } from './faults.ts';
import { openFile } from './files.ts';
import { HEADER_BYTES, possibleSeeds, segmentName } from './format.ts';
import { listSegments } from './recovery.ts';
import { findRecord, readAt, readHeader, Scanner, type ScannedRecord } from './scanner.ts';

/**
 * Yields every readable record of a log in order, including those after damage, for people who want back what is left.
 * It needs no lock. By its CRC, each record is as it was written; gaps between records are not reported here.
 */
export async function* salvage(
  path: string,
): AsyncGenerator<{ readonly segment: number; readonly record: ScannedRecord }> {
  for (const segment of await listSegments(path)) {
    for await (const record of salvageFile(join(path, segmentName(segment)))) yield { segment, record };
  }
}

async function* salvageFile(name: string): AsyncGenerator<ScannedRecord> {
  const file = await openFile(name, 'read').catch((error: unknown) => {
    // Deleted meanwhile, because all of its entries are acknowledged.
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return;
  try {
    const { size } = await file.stat();
    const head = await readHeader(file).catch(onFlaw);
    let seeds = head === undefined ? possibleSeeds(await readAt(file, 0, HEADER_BYTES)) : [head.seed];
    let least = head?.header.firstRecord;
    let offset = HEADER_BYTES;
    while (offset < size) {
      // A damaged part is short or the end; the rest of a segment fits into memory.
      const found = await findNext(file, offset, size, seeds, least);
      if (found === undefined) return;
      seeds = [found.seed];
      const scanner = new Scanner(file, found.seed, { record: found.number, offset: found.offset });
      try {
        for (let record = await scanner.next(size); record !== undefined; record = await scanner.next(size)) {
          yield record;
        }
        return;
      } catch (error) {
        onFlaw(error);
      }
      offset = scanner.offset + 1;
      least = scanner.expected;
    }
  } finally {
    await file.close();
  }
}

async function findNext(
  file: Parameters<typeof readAt>[0],
  offset: number,
  size: number,
  seeds: readonly number[],
  least: number | undefined,
) {
  const tail = await readAt(file, offset, size - offset);
  const found = findRecord(tail, 0, seeds, least);
  return found && { ...found, offset: offset + found.at };
}

function onFlaw(error: unknown): undefined {
  if (error instanceof Flaw) return undefined;
  throw error;
}
