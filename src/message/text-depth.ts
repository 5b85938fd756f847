import { MAX_JSON_DEPTH, findJsonError } from './json-validate.ts';
import { textOf } from './text.ts';

// Constants of this module rather than imported ones: V8 folds these into the code, which makes it a third faster.
const LINE_FEED = 0x0a;
const SPACE = 0x20;
const QUOTE = 0x22;
const ZERO = 0x30;
const SEVEN = 0x37;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const LOWER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const BRACKET_BIT = OPEN_ARRAY ^ OPEN_OBJECT;

/** How many times escapes are undone, for text in text in text. Anything behind more escapes counts as too deep. */
const MAX_LEVELS = 8;

/**
 * True if a query that parses the payload, a string in it, or any piece of either as JSON could meet arrays and objects
 * nested deeper than a message itself may have them. A parser of such text may recurse, on a stack that has an end.
 * Escapes are undone, those of text within text as well.
 *
 * A payload that is too short for that, or has too few brackets, costs a comparison, or one pass.
 */
export function hasDeepText(payload: Uint8Array): boolean {
  // Each level takes a bracket at each end.
  return payload.length > 2 * MAX_JSON_DEPTH && isDeep(payload, 0);
}

function isDeep(text: Uint8Array, level: number): boolean {
  if (!hasManyBrackets(text)) return false;
  if (level === MAX_LEVELS) return true;
  if (findJsonError(text) < 0) return stringsIn(text).some((string) => isDeep(unescaped(string), level + 1));
  if (depthOfPieces(text) > MAX_JSON_DEPTH) return true;
  if (!text.includes(BACKSLASH)) return false;
  // A JSON string lies within a line, and a line may be JSON even if the whole is not.
  if (text.includes(LINE_FEED)) return linesIn(text).some((line) => isDeep(line, level));
  return isDeep(unescaped(text), level + 1);
}

/** True if more brackets open, plainly or behind escapes, than may be open at a time. */
function hasManyBrackets(text: Uint8Array): boolean {
  const length = text.length;
  let brackets = 0;
  for (let at = 0; at < length; at++) {
    const byte = text[at]!;
    // The two brackets differ in one bit.
    if ((byte | BRACKET_BIT) === OPEN_OBJECT || (byte === LOWER_U && isAsciiEscape(text, at))) {
      if (++brackets > MAX_JSON_DEPTH) return true;
    }
  }
  return false;
}

/** True for `\u0000` to `\u007f`: `\u005b` is a bracket, and `\u005c` the backslash of a possible one. */
function isAsciiEscape(text: Uint8Array, at: number): boolean {
  if (text[at - 1] !== BACKSLASH || text[at + 1] !== ZERO || text[at + 2] !== ZERO) return false;
  return text[at + 3]! >= ZERO && text[at + 3]! <= SEVEN;
}

/** The strings of a JSON text that are long enough to matter, without their quotes. */
function stringsIn(json: Uint8Array): Uint8Array[] {
  const strings: Uint8Array[] = [];
  const length = json.length;
  let start = -1;
  for (let at = 0; at < length; at++) {
    const byte = json[at]!;
    if (byte === BACKSLASH) at++;
    else if (byte === QUOTE) {
      if (start < 0) start = at + 1;
      else {
        if (at - start > 2 * MAX_JSON_DEPTH) strings.push(json.subarray(start, at));
        start = -1;
      }
    }
  }
  return strings;
}

/** The lines that are long enough to matter. */
function linesIn(text: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start < text.length;) {
    const found = text.indexOf(LINE_FEED, start);
    const end = found < 0 ? text.length : found;
    if (end - start > 2 * MAX_JSON_DEPTH) lines.push(text.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

/**
 * The greatest depth of any piece of a text, wherever it begins. The strings of a piece that begins outside a string
 * are outside the strings of a piece that begins inside one, and the reverse.
 */
function depthOfPieces(text: Uint8Array): number {
  let deepest = 0;
  let outside = 0;
  // The depth of pieces that are inside a string at this point; -1 if there are none.
  let inside = -1;
  let escaped = false;
  for (const byte of text) {
    const closes = escaped ? -1 : inside;
    if (byte === QUOTE) {
      inside = escaped ? Math.max(inside, outside) : outside;
      outside = Math.max(closes, 0);
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++outside > deepest) deepest = outside;
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      if (outside > 0) outside--;
    } else if (byte === BACKSLASH) {
      // JSON has no backslash outside a string.
      outside = 0;
    } else if (byte < SPACE) {
      // JSON has no control character within a string.
      inside = -1;
    }
    escaped = byte === BACKSLASH && !escaped;
  }
  return deepest;
}

/** The text with its escapes undone. Characters that JSON does not use may change. */
function unescaped(text: Uint8Array): Uint8Array {
  const result = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    let byte = text[at]!;
    if (byte === BACKSLASH && at + 1 < text.length) {
      byte = text[++at]!;
      if (byte === LOWER_U) {
        byte = isAsciiEscape(text, at) ? Number.parseInt(textOf(text, at + 3, at + 5), 16) : OTHER;
        at += 4;
      } else {
        byte = WHITESPACE[byte] ?? byte;
      }
    }
    result[length++] = byte;
  }
  return result.subarray(0, length);
}
const OTHER = 0x3f;
/** The escapes `\n`, `\r` and `\t`. */
const WHITESPACE: Readonly<Record<number, number>> = { 0x6e: 0x0a, 0x72: 0x0d, 0x74: 0x09 };
