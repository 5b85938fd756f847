const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** JSON without the whitespace between its tokens. Strings and numbers stay byte for byte. The payload must be JSON. */
export function compactJson(payload: Uint8Array): Uint8Array {
  const compact = Buffer.allocUnsafe(payload.length);
  let end = 0;
  let inString = false;
  for (let at = 0; at < payload.length; at++) {
    const byte = payload[at]!;
    if (inString) {
      // The escaped character may be a quote.
      if (byte === BACKSLASH) compact[end++] = payload[at++]!;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB) continue;
    compact[end++] = payload[at]!;
  }
  return compact.subarray(0, end);
}
