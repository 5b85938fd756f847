import { isUtf8 } from 'node:buffer';
import type { Batch, Run } from '../../../message/batch.ts';

/** Whether a message goes out as a binary frame: as it came, where that is known and nothing has made text of it. */
export function isBinary({ format }: Batch, run: Run | undefined, payload: Uint8Array): boolean {
  if (format !== 'bytes') return false;
  return run?.messageType === undefined ? !isUtf8(payload) : run.messageType === 'binary';
}

/** Whether a message is JSON, where that is known: from a codec, or from the client that said so. */
export function isJson({ format }: Batch, run: Run | undefined): boolean | undefined {
  if (format !== 'bytes') return format === 'json' ? true : undefined;
  const said = run?.origin.ext['pubsub.data_type'];
  return said === undefined ? undefined : said === 'json';
}

/** The payload without the memory that it is only a small part of, for where it may have to wait. */
export function compact(payload: Uint8Array): Uint8Array {
  return payload.buffer.byteLength > 2 * payload.length + 1024 ? Buffer.from(payload) : payload;
}
