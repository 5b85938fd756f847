/** The text of UTF-8 bytes from `start` to `end`; invalid bytes become U+FFFD. */
export function textOf(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
}

/**
 * The offset of the first byte that is not valid UTF-8, or -1. Used for error messages about bytes that `isUtf8`
 * refused.
 */
export function findUtf8Error(bytes: Uint8Array): number {
  let at = 0;
  for (const part of textOf(bytes).split('\ufffd')) {
    at += Buffer.byteLength(part);
    if (at >= bytes.length) return -1;
    const genuine = bytes[at] === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd;
    if (!genuine) return at;
    at += 3;
  }
  return -1;
}

/** The value of a JSON string, given with its quotes. */
export function unquote(quoted: string): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  const value: unknown = JSON.parse(quoted);
  return String(value);
}

/**
 * True for the text of one JSON value. For small texts: for payloads, `findJsonError` tells without making the value.
 */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
