import { z } from 'zod';

/** A place in a JSON value: names of fields and numbers of elements. */
export type JsonPath = readonly (string | number)[];

const STEP = /\.?([^.[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]/y;

/** Reads `id`, `data.items[0].id`, `$.data["a.b"]`. Undefined when the text is no path. */
export function parseJsonPath(text: string): JsonPath | undefined {
  const path: (string | number)[] = [];
  STEP.lastIndex = text.startsWith('$') ? 1 : 0;
  while (STEP.lastIndex < text.length) {
    const match = STEP.exec(text);
    if (match === null) return undefined;
    const [, name, index, quoted] = match;
    if (index !== undefined) path.push(Number(index));
    else path.push(quoted === undefined ? name! : (JSON.parse(`"${quoted}"`) as string));
  }
  return path.length === 0 ? undefined : path;
}

/** The field of a configuration that holds a path; it stays a string, for `parseJsonPath`. */
export const jsonPath = z
  .string()
  .refine(
    (text) => parseJsonPath(text) !== undefined,
    'not a path; expected one like id, data.id or items[0].id',
  );

/**
 * The text of what is at `path` in the message: of a string its characters, of a number its digits as they were sent,
 * of `true` and `false` the word. Undefined when there is nothing, null, an object or a list, or the message is no JSON.
 */
export function textAt(payload: Uint8Array, path: JsonPath): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(
      Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString(),
      keepDigits,
    );
  } catch {
    return undefined;
  }
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  if (value instanceof Digits) return value.text;
  return typeof value === 'string' || typeof value === 'boolean' ? String(value) : undefined;
}

/** A number as it was written: a double has no room for the ids that some feeds send. */
class Digits {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

function keepDigits(_: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' ? new Digits(context?.source ?? String(value)) : value;
}
