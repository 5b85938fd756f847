import { isUtf8 } from 'node:buffer';
import { textOf, unquote } from './text.ts';

// Everything here takes payloads that are known to be JSON (`findJsonError` returned -1).

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** One array of all payloads, byte for byte; each must be JSON by itself, or it could swallow its neighbours. */
export function joinJsonArray(payloads: readonly Uint8Array[]): Buffer {
  let size = 1;
  for (const payload of payloads) size += payload.length + 1;
  const joined = Buffer.allocUnsafeSlow(Math.max(size, 2));
  let at = 0;
  for (const payload of payloads) {
    joined[at++] = COMMA;
    joined.set(payload, at);
    at += payload.length;
  }
  joined[0] = OPEN_ARRAY;
  joined[Math.max(at, 1)] = CLOSE_ARRAY;
  return joined;
}

/** A member of an object: its name, and the places of its name (with quotes) and its value in the payload. */
export interface JsonMember {
  readonly name: string;
  readonly start: number;
  readonly nameEnd: number;
  readonly valueStart: number;
  readonly end: number;
}

/**
 * Calls `visit` for each member of the object in the payload, in order, repeated names included: with the places of its name
 * (with quotes) and of its value. @returns false if the payload is not an object
 */
export function eachMember(
  payload: Uint8Array,
  visit: (start: number, nameEnd: number, valueStart: number, end: number) => void,
): boolean {
  let at = endOfSpace(payload, 0);
  if (payload[at] !== OPEN_OBJECT) return false;
  at = endOfSpace(payload, at + 1);
  while (payload[at] !== CLOSE_OBJECT) {
    const start = at;
    const nameEnd = endOfValue(payload, at);
    // Past the colon.
    const valueStart = endOfSpace(payload, endOfSpace(payload, nameEnd) + 1);
    const end = endOfValue(payload, valueStart);
    visit(start, nameEnd, valueStart, end);
    at = endOfSpace(payload, end);
    if (payload[at] === COMMA) at = endOfSpace(payload, at + 1);
  }
  return true;
}

/** The members of the object in the payload, in order, repeated names included; undefined if it is not an object. */
export function jsonMembers(payload: Uint8Array): JsonMember[] | undefined {
  const members: JsonMember[] = [];
  const isObject = eachMember(payload, (start, nameEnd, valueStart, end) => {
    members.push({ name: unquote(textOf(payload, start, nameEnd)), start, nameEnd, valueStart, end });
  });
  return isObject ? members : undefined;
}

/**
 * The object with only the members whose name is in `names`, in their order and byte for byte. A payload that is not an
 * object, or that loses nothing, is returned unchanged.
 */
export function keepJsonMembers(payload: Uint8Array, names: ReadonlySet<string>): Uint8Array {
  const members = jsonMembers(payload);
  const kept = members?.filter((member) => names.has(member.name));
  if (members === undefined || kept!.length === members.length) return payload;
  const parts: Uint8Array[] = [];
  for (const { start, end } of kept!) parts.push(comma, payload.subarray(start, end));
  return Buffer.concat([openObject, ...parts.slice(1), closeObject]);
}
const comma = Buffer.from(',');
const openObject = Buffer.from('{');
const closeObject = Buffer.from('}');

/**
 * A JSON object that holds any payload: `{"__value__": "its text"}`, or if it is not valid UTF-8 `{"__value__": "its
 * bytes in base64", "encoding": "base64"}`.
 */
export function wrapAsJson(payload: Uint8Array): Buffer {
  const value = isUtf8(payload)
    ? { __value__: textOf(payload) }
    : {
        __value__: Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('base64'),
        encoding: 'base64',
      };
  return Buffer.from(JSON.stringify(value));
}

/** The place of the first byte from `start` on that is not whitespace. */
export function endOfSpace(payload: Uint8Array, start: number): number {
  let at = start;
  while (payload[at]! <= SPACE) at++;
  return at;
}

/** The place after the value whose first byte is at `start`. */
export function endOfValue(payload: Uint8Array, start: number): number {
  let depth = 0;
  let at = start;
  do {
    const byte = payload[at]!;
    if (byte === QUOTE) at = endOfString(payload, at + 1);
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      depth++;
      at++;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      depth--;
      at++;
    } else if (depth > 0) at++;
    else return endOfScalar(payload, at);
  } while (depth > 0);
  return at;
}

/** `start` is after the opening quote. */
function endOfString(payload: Uint8Array, start: number): number {
  let at = start;
  while (payload[at] !== QUOTE) at += payload[at] === BACKSLASH ? 2 : 1;
  return at + 1;
}

function endOfScalar(payload: Uint8Array, start: number): number {
  let at = start;
  for (let byte = payload[at]!; byte > SPACE; byte = payload[++at]!)
    if (byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) break;
  return at;
}
