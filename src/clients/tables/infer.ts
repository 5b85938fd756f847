import { eachMember } from '../../message/json.ts';
import { textOf, unquote } from '../../message/text.ts';

const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;

/** A type that holds the values of a field. */
export type JsonType = 'bigint' | 'numeric' | 'boolean' | 'json' | 'text';

/** The columns of a table for these messages, each JSON: their fields, in the order in which they first come. */
export function columnsFor(payloads: readonly Uint8Array[]): { name: string; type: JsonType }[] {
  const types = new Map<string, JsonType | undefined>();
  for (const payload of payloads) {
    eachMember(payload, (start, nameEnd, valueStart, end) => {
      const name = unquote(textOf(payload, start, nameEnd));
      types.set(name, join(types.get(name), typeOf(textOf(payload, valueStart, end))));
    });
  }
  return Array.from(types, ([name, type]) => ({ name, type: type ?? 'text' }));
}

function join(a: JsonType | undefined, b: JsonType | undefined): JsonType | undefined {
  if (a === undefined || b === undefined || a === b) return a ?? b;
  const isNumeric = [a, b].every((type) => type === 'bigint' || type === 'numeric');
  return isNumeric ? 'numeric' : 'text';
}

/** Undefined for null. */
function typeOf(json: string): JsonType | undefined {
  const [first] = json;
  if (first === 'n') return undefined;
  if (first === 't' || first === 'f') return 'boolean';
  if (first === '{' || first === '[') return 'json';
  if (first === '"') return 'text';
  if (!/^-?\d+$/.test(json)) return 'numeric';
  const value = BigInt(json);
  return value >= LEAST && value <= MOST ? 'bigint' : 'numeric';
}
