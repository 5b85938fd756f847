import { Batch, type Format } from '../message/batch.ts';
import type { BytesValues } from '../message/rows.ts';

/** The name of the column that is a message itself. */
const VALUE = '__value__';

/** The bytes of a row's JSON around its only value. */
const BEFORE = Buffer.byteLength(`{"${VALUE}":`);
const AFTER = 1;

const formats: Readonly<Record<string, Format>> = { varchar: 'text', blob: 'bytes' };

/**
 * Rows whose only column is `__value__`, as messages that are its values: a text, bytes, or any other value as JSON. NULL
 * is an empty text or no bytes, otherwise `null`. Other batches stay as they are.
 */
export function valueMessages(batch: Batch): Batch {
  const column = batch.rows?.columns.length === 1 ? batch.rows.columns[0] : undefined;
  if (column?.name !== VALUE) return batch;
  const format = formats[column.type.kind] ?? 'json';
  const payloads =
    format === 'json'
      ? batch.payloads.map((row) => row.subarray(BEFORE, row.length - AFTER))
      : bytesOf(column.values as BytesValues);
  return new Batch(payloads, { ...batch.parts, format });
}

function bytesOf({ valid, offsets, data }: BytesValues): Uint8Array[] {
  return Array.from({ length: offsets.length - 1 }, (_, row) =>
    valid?.[row] === 0 ? new Uint8Array() : data.subarray(offsets[row], offsets[row + 1]),
  );
}
