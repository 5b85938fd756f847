// Everything here takes payloads that are known to be JSON (`findJsonError` returned -1).

// Constants of this module rather than imported ones: V8 folds these into the code, which makes it a third faster.
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const ZERO = 0x30;
const EIGHT = 0x38;
const NINE = 0x39;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const LOWER_C = 0x63;
const LOWER_D = 0x64;
const LOWER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

export function endOfSpace(payload: Uint8Array, start: number, length: number): number {
  let at = start;
  while (at < length && payload[at]! <= SPACE) at++;
  return at;
}

export function endOfDigits(payload: Uint8Array, start: number, length: number): number {
  let at = start;
  while (at < length && payload[at]! >= ZERO && payload[at]! <= NINE) at++;
  return at;
}

/** The offset after the bytes of `key` if they are at `start`; otherwise -1. */
export function endOfKey(key: Uint8Array | undefined, payload: Uint8Array, start: number): number {
  if (key === undefined || start + key.length > payload.length) return -1;
  for (let index = 0; index < key.length; index++) if (payload[start + index] !== key[index]) return -1;
  return start + key.length;
}

/** The end of a number or a word; `start` is within it. */
export function endOfWord(payload: Uint8Array, start: number, length: number): number {
  let at = start;
  while (at < length) {
    const byte = payload[at]!;
    if (byte <= SPACE || byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) break;
    at++;
  }
  return at;
}

// The next two functions return the offset after the skipped part, or ~offset (negative) if it contained a backslash.

/** `start` is after the opening quote. */
export function endOfString(payload: Uint8Array, start: number, length: number): number {
  let at = start;
  let escaped = false;
  while (at < length) {
    const byte = payload[at++]!;
    if (byte === QUOTE) break;
    if (byte === BACKSLASH) {
      escaped = true;
      at++;
    }
  }
  return escaped ? ~at : at;
}

/** The end of the array or object around `start`. */
export function endOfContainer(payload: Uint8Array, start: number, length: number): number {
  let depth = 1;
  let at = start;
  let escaped = false;
  while (at < length) {
    const byte = payload[at++]!;
    if (byte === QUOTE) {
      at = endOfString(payload, at, length);
      if (at < 0) {
        escaped = true;
        at = ~at;
      }
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
    else if ((byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) && --depth === 0) break;
  }
  return escaped ? ~at : at;
}

/** The end of the value that starts at `start`. */
export function endOfValue(payload: Uint8Array, start: number, length: number): number {
  const byte = payload[start]!;
  if (byte === QUOTE) {
    const end = endOfString(payload, start + 1, length);
    return end < 0 ? ~end : end;
  }
  if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
    const end = endOfContainer(payload, start + 1, length);
    return end < 0 ? ~end : end;
  }
  return endOfWord(payload, start, length);
}

/** True if a backslash is between `start` and `end`. */
export function hasEscape(payload: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (payload[at] === BACKSLASH) return true;
  return false;
}

/**
 * True if an escape between `start` and `end` is one half of a surrogate pair (D800 to DBFF the high one, DC00 to DFFF
 * the low) alone. RFC 8259 permits it, section 8.2, but it is not text.
 */
export function hasLoneSurrogate(payload: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    if (payload[at] !== BACKSLASH) continue;
    const half = surrogateAt(payload, at);
    if (half === undefined) at++;
    else if (half === LOW || surrogateAt(payload, at + 6) !== LOW) return true;
    else at += 11;
  }
  return false;
}

const HIGH = 1;
const LOW = 2;

function surrogateAt(payload: Uint8Array, at: number): typeof HIGH | typeof LOW | undefined {
  if (payload[at] !== BACKSLASH || payload[at + 1] !== LOWER_U || lower(payload[at + 2]) !== LOWER_D)
    return undefined;
  const second = lower(payload[at + 3]);
  if (second < EIGHT) return undefined;
  return second >= LOWER_C ? LOW : HIGH;
}

function lower(byte = 0): number {
  return byte | 0x20;
}
