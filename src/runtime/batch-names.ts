import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { DestinationCall } from '../component/context.ts';
import type { Batch } from '../message/batch.ts';
import type { Delivery } from '../message/delivery.ts';
import { encodeRows } from '../message/rows-wire.ts';

/** Names the batches that are written: after the log's entry that a batch was made of, else for this run alone. */
export class BatchNames {
  readonly #run = randomBytes(12).toString('hex');
  #count = 0;

  readonly #identified: boolean;

  /** `identified`: names are those of the log's entries where a batch has one, at the cost of a look at each message. */
  constructor(identified: boolean) {
    this.#identified = identified;
  }

  /** The arguments for writing a delivery, the `result`-th of its entry. */
  call({ batch, receipt, entry }: Delivery, result: number, signal: AbortSignal): DestinationCall {
    const { entries } = receipt;
    const isNamed = this.#identified && entry !== undefined && entries !== undefined;
    const id = isNamed
      ? `${entries.log}-${entry}-${result}-${fingerprint(batch)}`
      : `${this.#run}-${this.#count++}`;
    // Not a getter: each object literal with one has a hidden class of its own, which keeps the batch in memory for long.
    return { id, signal, keep: () => receipt.fork(), position: entries };
  }
}

/**
 * Which messages of its entry a batch has, and in which order; where that cannot be said, what they are. A query that was
 * changed, or that took too long only once, may make something else of an entry than before the restart, and a sink must not
 * take that for a repeat.
 */
function fingerprint(batch: Batch): string {
  const hash = hashOfPositions(batch) ?? hashOfContent(batch);
  return `${batch.length}.${(hash >>> 0).toString(36)}`;
}

function hashOfPositions(batch: Batch): number | undefined {
  let hash = 0;
  for (let index = 0; index < batch.length; index++) {
    const position = batch.positionAt(index);
    if (position === undefined) return undefined;
    hash = Math.imul(hash ^ position, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}

function hashOfContent(batch: Batch): number {
  const { rows } = batch;
  const whole = rows === undefined ? batch.lines : encodeRows(rows);
  if (whole !== undefined) return crc32(whole);
  return batch.payloads.reduce((hash, payload) => crc32(payload, hash), 0);
}
