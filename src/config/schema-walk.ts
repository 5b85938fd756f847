import { globalRegistry, type z } from 'zod';
import { isPlainObject, valueAt } from './plain.ts';
import type { Path } from './problem.ts';

/** What components say of a field besides its type, as `.meta({…})`. */
export interface FieldMeta {
  readonly id?: string | undefined;
  readonly description?: string | undefined;
  readonly format?: string | undefined;
  readonly secret?: boolean | undefined;
  /** Its value may be shown also where it came from `${…}`. */
  readonly shown?: boolean | undefined;
  /** What a field without a default of its own does when it is left out, as a file would give it. */
  readonly default?: unknown;
  /** It takes any JSON, and its numbers keep the digits of the file, as `ExactNumber`. */
  readonly exact?: boolean | undefined;
  /** The mode of its component that the field is for, where it is not for all. */
  readonly mode?: string | undefined;
}

/** A schema without what is wrapped around it, and what that said. */
export interface Unwrapped {
  readonly schema: z.core.$ZodType;
  readonly meta: FieldMeta;
  readonly optional: boolean;
  /** In the terms of a file, or parsed. */
  readonly default?: { readonly value: unknown; readonly parsed: boolean };
}

/** What a schema is made of, told apart by `type`. */
export function defOf(schema: z.core.$ZodType): z.core.$ZodTypes['_zod']['def'] {
  return (schema as z.core.$ZodTypes)._zod.def;
}

function metaOf(schema: z.core.$ZodType): FieldMeta {
  let meta = globalRegistry.get(schema) ?? {};
  // `component.describe(…)` is a copy, which zod gives all that the component has but its id.
  for (let { parent } = schema._zod; parent !== undefined; { parent } = parent._zod) {
    meta = { ...globalRegistry.get(parent), ...meta };
  }
  return meta;
}

/** Lazy schemas of components are left as they are, as their `id` says enough. */
export function unwrap(schema: z.core.$ZodType): Unwrapped {
  let inner = schema;
  let meta: FieldMeta = {};
  let optional = false;
  let fallback: Unwrapped['default'];
  for (;;) {
    meta = { ...metaOf(inner), ...meta };
    const def = defOf(inner);
    if (def.type === 'default' || def.type === 'prefault') {
      fallback ??= { value: def.defaultValue, parsed: def.type === 'default' };
    }
    if (def.type === 'optional' || def.type === 'default' || def.type === 'prefault') optional = true;
    const next = innerOf(def);
    if (next === undefined) break;
    inner = next;
  }
  return { schema: inner, meta, optional, ...(fallback === undefined ? {} : { default: fallback }) };
}

function innerOf(def: ReturnType<typeof defOf>): z.core.$ZodType | undefined {
  // What stands in the file is what goes in, unless that is a function (z.preprocess).
  if (def.type === 'pipe') return defOf(def.in).type === 'transform' ? def.out : def.in;
  return 'innerType' in def ? def.innerType : undefined;
}

/** The schemas that a value may have to meet: the options of unions, as far as `type` and the like tell them apart. */
export function options(schema: z.core.$ZodType, value: unknown): z.core.$ZodType[] {
  const { schema: inner } = unwrap(schema);
  const def = defOf(inner);
  if (def.type === 'lazy') return options(def.getter(), value);
  if (def.type !== 'union') return [inner];
  if (!('discriminator' in def)) return def.options.flatMap((option) => options(option, value));
  const { discriminator } = def;
  const tag = isPlainObject(value) && typeof discriminator === 'string' ? value[discriminator] : undefined;
  const chosen = def.options.filter((option) => {
    const tags = option._zod.propValues?.[String(discriminator)];
    return tags !== undefined && [...tags].some((each) => each === tag);
  });
  return chosen.flatMap((option) => options(option, value));
}

/** The schema of the part of `root` at `path`, where there is one, and whether it is, or is part of, a secret. */
export function schemaAt(
  schema: z.core.$ZodType,
  root: unknown,
  path: Path,
): { readonly schema: z.core.$ZodType | undefined; readonly secret: boolean } {
  let candidates: z.core.$ZodType[] = [schema];
  let value = root;
  let secret = false;
  for (const part of path) {
    secret ||= candidates.some((each) => unwrap(each).meta.secret === true);
    const parent = value;
    candidates = candidates
      .flatMap((each) => options(each, parent))
      .flatMap((each) => step(each, part) ?? []);
    value = valueAt(value, [part]);
  }
  secret ||= candidates.some((each) => unwrap(each).meta.secret === true);
  return { schema: candidates[0], secret };
}

function step(schema: z.core.$ZodType, part: string | number): z.core.$ZodType | undefined {
  const def = defOf(schema);
  if (def.type === 'object') return Object.hasOwn(def.shape, part) ? def.shape[part] : undefined;
  if (def.type === 'array') return typeof part === 'number' ? def.element : undefined;
  if (def.type === 'record') return def.valueType;
  return undefined;
}

/** The fields of an object's schema by name, or undefined if it is no object. */
export function shapeOf(
  schema: z.core.$ZodType,
  value: unknown,
): Record<string, z.core.$ZodType> | undefined {
  for (const option of options(schema, value)) {
    const def = defOf(option);
    if (def.type === 'object') return def.shape;
  }
  return undefined;
}
