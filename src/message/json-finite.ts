const NAN = Buffer.from('NaN');
const INFINITY = Buffer.from('Infinity');
const NULL = Buffer.from('null');

const QUOTE = 0x22;
const MINUS = 0x2d;
const UPPER_I = 0x49;
const UPPER_N = 0x4e;
const BACKSLASH = 0x5c;

/** True if the text may be one that `nullForNaN` changes. */
export function mayHaveNaN(data: Uint8Array): boolean {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  return bytes.includes(NAN) || bytes.includes(INFINITY);
}

/**
 * JSON has no NaN and no infinity, but DuckDB’s JSON has. They become null, except inside strings. This goes byte by
 * byte, because a pattern that skips strings runs out of stack on one of ten megabytes.
 */
export function nullForNaN(data: Uint8Array): Uint8Array {
  // Each `NaN` is a byte shorter than the `null` that replaces it.
  const result = Buffer.allocUnsafe(Math.ceil((data.length * NULL.length) / NAN.length));
  let end = 0;
  let inString = false;
  for (let at = 0; at < data.length; at++) {
    const byte = data[at]!;
    if (inString) {
      // The escaped character may be a quote.
      if (byte === BACKSLASH) result[end++] = data[at++]!;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else {
      const word = byte === MINUS ? at + 1 : at;
      const token = data[word] === UPPER_N ? NAN : data[word] === UPPER_I ? INFINITY : undefined;
      if (token !== undefined) {
        end += NULL.copy(result, end);
        at = word + token.length - 1;
        continue;
      }
    }
    result[end++] = data[at]!;
  }
  return result.subarray(0, end);
}
