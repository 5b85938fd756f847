import { MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from './batch.ts';

const LF = 10;
const CR = 13;
const SPACE = 32;

/**
 * A batch as lines, each ended by a line feed. Line breaks between the tokens of JSON become spaces (inside a string
 * they are always escaped); another message that holds one cannot be a line and is refused.
 */
export function toLines(batch: Batch): { lines: Uint8Array; refusals: readonly Rejection[] } {
  if (batch.lines !== undefined) return { lines: batch.lines, refusals: [] };
  const lines = Buffer.allocUnsafe(batch.bytes + batch.length);
  const refusals: Rejection[] = [];
  let end = 0;
  for (const [index, payload] of batch.payloads.entries()) {
    if (batch.format !== 'json' && payload.includes(LF)) {
      const message =
        'the message has a line break inside, and the output writes a message a line; set `codec: { type: json }` on the output to write it as a JSON string';
      refusals.push({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', message) });
      continue;
    }
    lines.set(payload, end);
    if (batch.format === 'json') flatten(lines, end, end + payload.length);
    end += payload.length;
    lines[end++] = LF;
  }
  return { lines: lines.subarray(0, end), refusals };
}

function flatten(lines: Buffer, start: number, end: number): void {
  for (let at = lines.indexOf(LF, start); at >= 0 && at < end; at = lines.indexOf(LF, at + 1)) {
    lines[at] = SPACE;
    if (at > start && lines[at - 1] === CR) lines[at - 1] = SPACE;
  }
}
