import { endOfSpace, endOfValue } from './json.ts';

const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;

const INDENT = '  ';

/** Deeper lines are indented no further, so that brackets alone cannot multiply the size of a message. */
const DEEPEST_INDENT = 16;

/**
 * JSON with each member and each element on a line of its own, indented by two spaces for each of up to 16 levels.
 * Strings and numbers stay byte for byte. The payload must be JSON.
 */
export function prettyJson(payload: Uint8Array): Buffer {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const parts: string[] = [];
  let depth = 0;
  const line = (): string => `\n${INDENT.repeat(Math.min(depth, DEEPEST_INDENT))}`;
  for (let at = 0; at < payload.length;) {
    const byte = payload[at]!;
    if (byte <= SPACE) at++;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      const next = endOfSpace(payload, at + 1);
      const close = byte === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY;
      const isEmpty = payload[next] === close;
      if (!isEmpty) depth++;
      parts.push(String.fromCharCode(byte), isEmpty ? String.fromCharCode(close) : line());
      at = isEmpty ? next + 1 : next;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      depth--;
      parts.push(line(), String.fromCharCode(byte));
      at++;
    } else if (byte === COMMA || byte === COLON) {
      parts.push(byte === COMMA ? `,${line()}` : ': ');
      at++;
    } else {
      const end = endOfValue(payload, at);
      parts.push(text.toString('utf8', at, end));
      at = end;
    }
  }
  return Buffer.from(parts.join(''));
}
