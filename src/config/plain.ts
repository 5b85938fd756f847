import type { Path } from './problem.ts';

/** Whether a value is a plain object, and not a date or another class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** The part of plain data at `path`, or undefined. */
export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) {
    if (Array.isArray(value) && typeof part === 'number') value = value[part];
    else value = isPlainObject(value) && Object.hasOwn(value, part) ? value[part] : undefined;
  }
  return value;
}

/** A copy of `root` with another value at `path`; undefined removes the field. */
export function replaceAt(root: unknown, path: Path, value: unknown): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  if (Array.isArray(root)) {
    return root.map((item: unknown, index) => (index === part ? replaceAt(item, rest, value) : item));
  }
  if (!isPlainObject(root)) return root;
  return Object.fromEntries(
    Object.entries(root).flatMap(([key, each]) => {
      if (key !== part) return [[key, each]];
      return rest.length === 0 && value === undefined ? [] : [[key, replaceAt(each, rest, value)]];
    }),
  );
}
