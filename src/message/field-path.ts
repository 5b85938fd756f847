/** One step into a value: the name of a member, or the place of an element, from 0. */
export type PathStep = string | number;

/** A place in the messages of a feed: a field, or a value within it. */
export type Path = readonly [string, ...PathStep[]];

/** Paths have at most this many steps. */
export const MAX_PATH_STEPS = 64;

/** A name that needs no quotes between the points of a path. */
const PLAIN = /^[^.[\]"]+$/;

/** The path as `parseJsonPath` reads it: `a.b[0]["x.y"]`. A field by itself is its name. */
export function pathText([name, ...steps]: Path): string {
  if (steps.length === 0) return name;
  const quoted = (step: string): string => `[${JSON.stringify(step)}]`;
  let text = PLAIN.test(name) ? name : quoted(name);
  for (const step of steps) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += PLAIN.test(step) ? `.${step}` : quoted(step);
  }
  return text;
}

/** A key that is equal for equal paths only. That of a field is its name, unless it begins with NUL. */
export function pathKey(path: readonly PathStep[]): string {
  const [name] = path;
  if (path.length === 1 && typeof name === 'string' && !name.startsWith('\0')) return name;
  return `\0${JSON.stringify(path)}`;
}
