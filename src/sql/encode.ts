import type { Batch } from '../message/batch.ts';

const SPACE = 0x20;
const OPEN_OBJECT = 0x7b;

/** True if a JSON value is an object. */
function isObject(payload: Uint8Array): boolean {
  let at = 0;
  while (payload[at]! <= SPACE) at++;
  return payload[at] === OPEN_OBJECT;
}

/**
 * A payload as a JSON object. A value that is not an object becomes its member `__value__`: as text, or as base64 for
 * bytes.
 */
export function asObject(payload: Uint8Array, format: Batch['format']): Uint8Array {
  if (format === 'json') {
    return isObject(payload) ? payload : Buffer.concat([VALUE_BEFORE, payload, VALUE_AFTER]);
  }
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return Buffer.from(JSON.stringify({ __value__: text.toString(format === 'text' ? 'utf8' : 'base64') }));
}
const VALUE_BEFORE = Buffer.from('{"__value__":');
const VALUE_AFTER = Buffer.from('}');
