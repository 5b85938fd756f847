import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { findJsonError } from './json-validate.ts';
import { textOf, unquote } from './text.ts';

// Constants of this module rather than imported ones: V8 folds these into the code, which makes it a third faster.
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** One step into a value: the name of a field. A name that is a number also selects an element. */
export interface Step {
  readonly name: string;
  /** The name as it appears in a payload. */
  readonly bytes: Uint8Array;
  /** NaN for a name that is not a number. */
  readonly index: number;
}

/** A place in a JSON value: names of fields and numbers of elements. */
export type JsonPath = readonly Step[];

const STEP = /(^|\.)([^.[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]/y;

/** Reads `id`, `.id`, `data.items[0].id`, `$.data["a.b"]`. Undefined if the text is not a path. */
export function parseJsonPath(text: string): JsonPath | undefined {
  if (text === '$') return undefined;
  const path: Step[] = [];
  STEP.lastIndex = /^\$[.[]/.test(text) ? 1 : 0;
  while (STEP.lastIndex < text.length) {
    const match = STEP.exec(text);
    if (match === null) return undefined;
    const [, , name, index, quoted] = match;
    const written = name ?? index ?? unquoted(quoted!);
    if (written === undefined) return undefined;
    path.push(stepTo(written));
  }
  return path.length === 0 ? undefined : path;
}

/** The step to a field of this name, or to the element of this number. */
export function stepTo(name: string): Step {
  const index = /^(?:0|[1-9]\d*)$/.test(name) ? Number(name) : Number.NaN;
  return { name, bytes: Buffer.from(name), index };
}

function unquoted(text: string): string | undefined {
  try {
    return unquote(`"${text}"`);
  } catch {
    return undefined;
  }
}

/** The field of a configuration that holds a path; it stays a string, for `parseJsonPath`. */
export const jsonPath = z
  .string()
  .refine(
    (text) => parseJsonPath(text) !== undefined,
    'not a path; expected one like id, data.id or items[0].id',
  );

/**
 * The text of the value at `path` in the message: the characters of a string, the digits of a number as sent (a double
 * has no room for the ids that some feeds send), the word `true` or `false`. Undefined if there is no value, if it is
 * null, an object or a list, or if the message is not JSON in UTF-8. If an object has a name twice, the last counts.
 * `knownUtf8` is true if the payload has already been checked to be UTF-8, as in a text frame.
 */
export function textAt(payload: Uint8Array, path: JsonPath, knownUtf8 = false): string | undefined {
  const at = placeOf(payload, path, knownUtf8);
  return at < 0 ? undefined : scalarAt(payload, at);
}

/** Like `textAt`, with a quote before a string, so that `1` and `"1"` differ. */
export function keyAt(payload: Uint8Array, path: JsonPath, knownUtf8 = false): string | undefined {
  const at = placeOf(payload, path, knownUtf8);
  if (at < 0) return undefined;
  const text = scalarAt(payload, at);
  return payload[at] === QUOTE ? `"${text}` : text;
}

/** Like `textAt`, but as it appears in the message: a string with its quotes and escapes. */
export function tokenAt(payload: Uint8Array, path: JsonPath, knownUtf8 = false): string | undefined {
  const at = placeOf(payload, path, knownUtf8);
  if (at < 0) return undefined;
  if (payload[at] === QUOTE) return textOf(payload, at, endOfString(payload, at + 1));
  return scalarAt(payload, at);
}

/**
 * The JSON of the value at `path`, as it appears in the message. Objects and lists count too, but null counts as absent
 * here too.
 */
export function jsonAt(payload: Uint8Array, path: JsonPath, knownUtf8 = false): string | undefined {
  const at = placeOf(payload, path, knownUtf8);
  return at < 0 || payload[at] === LOWER_N ? undefined : textOf(payload, at, endOfValue(payload, at));
}

/** The shortest JSON that has `token`, the JSON of a value, at `path`. */
export function jsonWith(path: JsonPath, token: string): string {
  return path.reduceRight((json, { name }) => `{${JSON.stringify(name)}:${json}}`, token);
}

/** The offset of the value at `path`, or -1. */
function placeOf(payload: Uint8Array, path: JsonPath, knownUtf8: boolean): number {
  if (findJsonError(payload) >= 0 || (!knownUtf8 && !isUtf8(payload))) return -1;
  let at = startOf(payload);
  for (const step of path) {
    const byte = payload[at];
    if (byte === OPEN_OBJECT) at = memberAt(payload, at, step);
    else if (byte === OPEN_ARRAY) at = elementAt(payload, at, step.index);
    else return -1;
    if (at < 0) return -1;
  }
  return at;
}

// The functions below rely on the payload being JSON.

/** The offset of the message's value. */
export function startOf(payload: Uint8Array): number {
  return endOfSpace(payload, 0);
}

/** The characters of the string that starts at `at`. */
export function stringAt(payload: Uint8Array, at: number): string {
  return unquote(textOf(payload, at, endOfString(payload, at + 1)));
}

export function isNumberAt(payload: Uint8Array, at: number): boolean {
  const byte = payload[at]!;
  return byte === MINUS || (byte >= ZERO && byte <= NINE);
}

/** The number that starts at `at`, as sent. */
export function numberAt(payload: Uint8Array, at: number): string {
  return textOf(payload, at, endOfWord(payload, at));
}

/** The offset of the value of the object's field, or -1. */
export function memberAt(payload: Uint8Array, object: number, step: Step): number {
  let found = -1;
  let at = endOfSpace(payload, object + 1);
  while (payload[at] !== CLOSE_OBJECT) {
    const start = at + 1;
    const end = endOfString(payload, start);
    // The colon is the first byte that is not a space.
    const value = endOfSpace(payload, endOfSpace(payload, end) + 1);
    if (isName(payload, start, end - 1, step)) found = value;
    at = endOfSpace(payload, endOfValue(payload, value));
    if (payload[at] === COMMA) at = endOfSpace(payload, at + 1);
  }
  return found;
}

/** The offset of the list's element, or -1. */
export function elementAt(payload: Uint8Array, list: number, index: number): number {
  let at = endOfSpace(payload, list + 1);
  if (Number.isNaN(index) || payload[at] === CLOSE_ARRAY) return -1;
  for (let passed = 0; passed < index; passed++) {
    at = endOfSpace(payload, endOfValue(payload, at));
    if (payload[at] !== COMMA) return -1;
    at = endOfSpace(payload, at + 1);
  }
  return at;
}

function isName(payload: Uint8Array, start: number, end: number, { name, bytes }: Step): boolean {
  if (end - start === bytes.length) {
    let same = 0;
    while (same < bytes.length && payload[start + same] === bytes[same]) same++;
    if (same === bytes.length) return !name.includes('\\');
  }
  // An escape makes it longer than the name, never shorter.
  if (end - start <= bytes.length) return false;
  for (let at = start; at < end; at++) {
    if (payload[at] === BACKSLASH) return unquote(textOf(payload, start - 1, end + 1)) === name;
  }
  return false;
}

function scalarAt(payload: Uint8Array, at: number): string | undefined {
  const byte = payload[at]!;
  if (byte === QUOTE) return stringAt(payload, at);
  if (byte === LOWER_T) return 'true';
  if (byte === LOWER_F) return 'false';
  return isNumberAt(payload, at) ? numberAt(payload, at) : undefined;
}

function endOfValue(payload: Uint8Array, start: number): number {
  const first = payload[start]!;
  if (first === QUOTE) return endOfString(payload, start + 1);
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) return endOfWord(payload, start);
  let depth = 1;
  let at = start + 1;
  while (depth > 0) {
    const byte = payload[at++];
    if (byte === QUOTE) at = endOfString(payload, at);
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
  }
  return at;
}

/** After the closing quote; `start` is after the opening one. */
function endOfString(payload: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const byte = payload[at++];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
}

/** Of a number, `true`, `false` or `null`. */
function endOfWord(payload: Uint8Array, start: number): number {
  let at = start;
  while (at < payload.length) {
    const byte = payload[at]!;
    if (byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_ARRAY || byte <= SPACE) break;
    at++;
  }
  return at;
}

function endOfSpace(payload: Uint8Array, start: number): number {
  let at = start;
  while (payload[at]! <= SPACE) at++;
  return at;
}
