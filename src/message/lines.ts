import { isUtf8 } from 'node:buffer';
import { compactJson } from './json-compact.ts';
import { findJsonError } from './json-validate.ts';

const LF = 10;
const CR = 13;

/**
 * A message as one line, without a line break at its end. JSON that spans several lines loses the whitespace between
 * its tokens, and nothing else. Undefined for any other message with a line break inside. `knownJson` is true if the
 * message has been checked to be JSON.
 */
export function asLine(payload: Uint8Array, knownJson: boolean): Uint8Array | undefined {
  const content = withoutLineBreaks(payload);
  if (!content.includes(LF)) return content;
  if (!knownJson && (findJsonError(content) >= 0 || !isUtf8(content))) return undefined;
  return compactJson(content);
}

/** Removes the line breaks at the end. */
function withoutLineBreaks(payload: Uint8Array): Uint8Array {
  let end = payload.length;
  while (payload[end - 1] === LF) end -= payload[end - 2] === CR ? 2 : 1;
  return end === payload.length ? payload : payload.subarray(0, end);
}
