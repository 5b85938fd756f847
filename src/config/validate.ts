import type { z } from 'zod';
import type { Registry } from '../component/registry.ts';
import type { Expansion } from './expand.ts';
import { explain, type Explanation, type Issue, NO_MESSAGE, pathOf } from './explain.ts';
import { withDigits } from './numbers.ts';
import { isPlainObject, replaceAt, valueAt } from './plain.ts';
import { type Path, pathKey } from './problem.ts';
import { defOf, options, schemaAt, unwrap } from './schema-walk.ts';

export type Validation<T> = { readonly output: T } | { readonly explanations: readonly Explanation[] };

/** Checks an expanded document against the schema. Returns all mistakes, each in words. */
export function validate<S extends z.ZodType>(
  schema: S,
  expansion: Expansion,
  registry: Registry,
): Validation<z.output<S>> {
  let value = withDigits(schema, expansion.value, expansion.numbers);
  let result = parse(schema, value);
  if (result.issues !== undefined) {
    // A `${…}` makes a string; if that does not fit, it may be meant as a number or a boolean.
    const converted = convert(schema, value, flatten(result.issues), expansion);
    if (converted !== value) {
      value = converted;
      result = parse(schema, value);
    }
  }
  if (result.issues === undefined) return { output: result.output };

  const wrongModes = result.issues.filter(isWrongMode);
  // Under an unknown mode, zod checks nothing else of a component.
  const meant = wrongModes.reduce((each: unknown, issue) => withNearestMode(schema, each, issue), value);
  const issues = (meant === value ? result.issues : parse(schema, meant).issues) ?? [];
  const mask = createMask(schema, expansion);
  const subject = {
    schema,
    value,
    registry,
    filled: (path: Path) => expansion.filled.has(pathKey(path)),
    mask: (message: string, path: Path) => mask(message, valueAt(value, path)),
  };
  const rest = [...issues, ...hiddenByParts(schema, meant, issues)];
  return {
    explanations: [
      ...(meant === value ? [] : wrongModes.flatMap((issue) => explain(issue, subject))),
      ...rest.flatMap((issue) => explain(issue, { ...subject, value: meant })),
    ],
  };
}

/** Masks secret values in a message that a component wrote about the value `here`. */
export function createMask(
  schema: z.ZodType,
  expansion: Expansion,
): (message: string, here?: unknown) => string {
  const secrets = [...expansion.secrets, ...secretsIn(schema, expansion.value)];
  const longestFirst = secrets.filter((text) => text.trim() !== '').toSorted((a, b) => b.length - a.length);
  return (message, here) => {
    let masked = message;
    for (const text of longestFirst) {
      // Elsewhere, masking a secret of one or two characters would hide half of the words and thereby reveal it.
      if (text.length <= 2 && text !== String(here)) continue;
      masked = masked.replaceAll(text, '***').replaceAll(JSON.stringify(text).slice(1, -1), '***');
    }
    return masked;
  };
}

function parse<S extends z.ZodType>(
  schema: S,
  value: unknown,
): { output: z.output<S>; issues?: undefined } | { issues: readonly Issue[] } {
  const result = schema.safeParse(value, { error: () => NO_MESSAGE });
  return result.success ? { output: result.data } : { issues: result.error.issues };
}

/** `value` with each whole `${…}` that an issue is about turned into a number or a boolean, if its text is one. */
function convert(schema: z.ZodType, value: unknown, issues: readonly Issue[], expansion: Expansion): unknown {
  const paths = new Map(issues.map(pathOf).map((path) => [pathKey(path), path]));
  let result = value;
  for (const [key, path] of paths) {
    if (!expansion.whole.has(key)) continue;
    const text = valueAt(value, path);
    const wanted = schemaAt(schema, value, path).schema;
    if (typeof text !== 'string' || wanted === undefined) continue;
    const scalar = scalarFor(wanted, text);
    if (scalar !== undefined) result = replaceAt(result, path, scalar);
  }
  return result;
}

function scalarFor(schema: z.core.$ZodType, text: string): number | boolean | undefined {
  const wanted = new Set<unknown>();
  for (const option of options(schema, text)) {
    const def = defOf(option);
    wanted.add(def.type);
    if (def.type === 'literal') for (const value of def.values) wanted.add(typeof value);
  }
  if (wanted.has('number') && /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text)) return Number(text);
  if (wanted.has('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  return undefined;
}

type WrongMode = Extract<Issue, { code: 'invalid_union' }> & { readonly discriminator: string };

/** Whether the issue is an unknown mode of a component. An unknown `type` does not show what was meant. */
function isWrongMode(issue: Issue): issue is WrongMode {
  return issue.code === 'invalid_union' && 'discriminator' in issue && issue.discriminator !== 'type';
}

/** `value` with the mode that leaves the fewest mistakes. */
function withNearestMode(schema: z.ZodType, value: unknown, issue: WrongMode): unknown {
  const modes: readonly unknown[] = 'options' in issue && Array.isArray(issue.options) ? issue.options : [];
  const candidates = modes
    .filter((mode) => mode !== undefined)
    .map((mode) => {
      const changed = replaceAt(value, pathOf(issue), mode);
      return { changed, mistakes: (parse(schema, changed).issues ?? []).length };
    });
  return candidates.toSorted((a, b) => a.mistakes - b.mistakes)[0]?.changed ?? value;
}

/** Issues of a component that zod does not reach while the component's codec or framing is wrong. */
function hiddenByParts(schema: z.ZodType, value: unknown, issues: readonly Issue[]): readonly Issue[] {
  const parts = issues
    .map(pathOf)
    .map((path) => path.slice(0, path.findIndex((part) => part === 'codec' || part === 'framing') + 1))
    .filter(({ length }) => length > 0);
  if (parts.length === 0) return [];
  let without = value;
  for (const path of parts) without = replaceAt(without, path, undefined);
  const known = new Set(issues.map((issue) => JSON.stringify([issue.code, issue.path])));
  const all = parse(schema, without).issues ?? [];
  return all.filter((issue) => !known.has(JSON.stringify([issue.code, issue.path])));
}

function flatten(issues: readonly Issue[]): Issue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union') return [issue];
    const nested = issue.errors.flat().map((each) => ({ ...each, path: [...issue.path, ...each.path] }));
    return [issue, ...flatten(nested)];
  });
}

/** The texts in secret fields. */
export function secretsIn(schema: z.core.$ZodType | undefined, value: unknown, secret = false): string[] {
  const isSecret = secret || (schema !== undefined && unwrap(schema).meta.secret === true);
  if (typeof value === 'string' || typeof value === 'number')
    return isSecret && value !== '' ? [String(value)] : [];
  if (schema === undefined && !isSecret) return [];
  const child = (part: string | number): z.core.$ZodType | undefined =>
    schema === undefined ? undefined : schemaAt(schema, value, [part]).schema;
  if (Array.isArray(value)) return value.flatMap((item, index) => secretsIn(child(index), item, isSecret));
  if (!isPlainObject(value)) return [];
  return Object.entries(value).flatMap(([key, each]) => secretsIn(child(key), each, isSecret));
}
