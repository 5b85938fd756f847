import { isUtf8 } from 'node:buffer';
import type { Batch, Run } from '../../../message/batch.ts';

/**
 * Whether a message goes out as a binary frame: in the kind that it came in, if that is known and it has not become
 * text.
 */
export function isBinary({ format }: Batch, run: Run | undefined, payload: Uint8Array): boolean {
  if (format !== 'bytes') return false;
  return run?.messageType === undefined ? !isUtf8(payload) : run.messageType === 'binary';
}

/** Whether a message is JSON, if that is known: from a codec, or from the client that said so. */
export function isJson({ format }: Batch, run: Run | undefined): boolean | undefined {
  if (format !== 'bytes') return format === 'json' ? true : undefined;
  const said = run?.origin.ext['pubsub.data_type'];
  return said === undefined ? undefined : said === 'json';
}

/** The payload without the larger memory that it is a small part of, for a payload that may have to wait. */
export function compact(payload: Uint8Array): Uint8Array {
  return payload.buffer.byteLength > 2 * payload.length + 1024 ? Buffer.from(payload) : payload;
}
