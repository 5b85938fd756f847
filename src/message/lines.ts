import { isUtf8 } from 'node:buffer';
import { MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from './batch.ts';
import { compactJson } from './json-compact.ts';
import { findJsonError } from './json-validate.ts';

const LF = 10;
const CR = 13;

/** A batch as lines, each ended by a line feed. What cannot be a line is refused (`asLine`). */
export function toLines(batch: Batch): { lines: Uint8Array; refusals: readonly Rejection[] } {
  if (batch.lines !== undefined) return { lines: batch.lines, refusals: [] };
  const lines = Buffer.allocUnsafe(batch.bytes + batch.length);
  const refusals: Rejection[] = [];
  let end = 0;
  for (const [index, payload] of batch.payloads.entries()) {
    const line = payload.includes(LF) ? asLine(payload, batch.format === 'json') : payload;
    if (line === undefined) {
      const message =
        'the message has a line break inside and is not JSON, and the output writes a message a line; set `codec: { type: json }` on the output to write it as a JSON string';
      refusals.push({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', message) });
      continue;
    }
    lines.set(line, end);
    end += line.length;
    lines[end++] = LF;
  }
  return { lines: lines.subarray(0, end), refusals };
}

/**
 * A message as one line, without the line's end. Line breaks at its end are that end. JSON that is written over several
 * lines loses the whitespace between its tokens, and nothing else. Undefined for any other message with a line break.
 * `knownJson` is true where it has been checked to be JSON.
 */
export function asLine(payload: Uint8Array, knownJson: boolean): Uint8Array | undefined {
  const content = withoutLineBreaks(payload);
  if (!content.includes(LF)) return content;
  if (!knownJson && (findJsonError(content) >= 0 || !isUtf8(content))) return undefined;
  return compactJson(content);
}

/** Without those at its end. */
function withoutLineBreaks(payload: Uint8Array): Uint8Array {
  let end = payload.length;
  while (payload[end - 1] === LF) end -= payload[end - 2] === CR ? 2 : 1;
  return end === payload.length ? payload : payload.subarray(0, end);
}
