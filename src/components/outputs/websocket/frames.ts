import { isUtf8 } from 'node:buffer';
import type { Batch, Run } from '../../../message/batch.ts';

/** Whether a message goes out as a binary frame: as it came, where that is known and nothing has made text of it. */
export function isBinary({ format }: Batch, run: Run | undefined, payload: Uint8Array): boolean {
  if (format !== 'bytes') return false;
  return run?.messageType === undefined ? !isUtf8(payload) : run.messageType === 'binary';
}

/** The payload without the memory that it is only a small part of, for where it may have to wait. */
export function compact(payload: Uint8Array): Uint8Array {
  return payload.buffer.byteLength > 2 * payload.length + 1024 ? Buffer.from(payload) : payload;
}
