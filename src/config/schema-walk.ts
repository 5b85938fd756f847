import { globalRegistry, type z } from 'zod';
import { declarations } from '../component/settings.ts';
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
  /** It takes any JSON, and its numbers keep the digits of the file, as `ExactNumber`. */
  readonly exact?: boolean | undefined;
  /** The field beside it that it is another name of. */
  readonly alias?: string | undefined;
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
  let inner = declarations.get(schema) ?? schema;
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

/** What tells the options of a union apart, each with its values there; `undefined` is one where it may be left out. */
export interface Tags {
  readonly field: string;
  readonly options: readonly TaggedOption[];
}

export interface TaggedOption {
  /** The first of its values. */
  readonly name: string;
  readonly values: readonly unknown[];
  readonly schema: z.core.$ZodType;
}

/** The tags of a union that has some: by `type`, by `mode`. */
export function tagsOf(schema: z.core.$ZodType): Tags | undefined {
  const def = defOf(schema);
  if (def.type !== 'union' || !('discriminator' in def)) return undefined;
  const field = String(def.discriminator);
  return {
    field,
    options: def.options.map((option) => {
      const values = [...(option._zod.propValues?.[field] ?? [])];
      return { name: values.find((value) => typeof value === 'string') ?? '', values, schema: option };
    }),
  };
}

/** The schemas that a value may have to meet: the options of unions, as far as `type` and the like tell them apart. */
export function options(schema: z.core.$ZodType, value: unknown): z.core.$ZodType[] {
  const { schema: inner } = unwrap(schema);
  const def = defOf(inner);
  if (def.type === 'lazy') return options(def.getter(), value);
  if (def.type !== 'union') return [inner];
  const tags = tagsOf(inner);
  if (tags === undefined) return def.options.flatMap((option) => options(option, value));
  const tag = isPlainObject(value) ? value[tags.field] : undefined;
  const chosen = tags.options.filter(({ values }) => values.includes(tag));
  return chosen.flatMap((option) => options(option.schema, value));
}

/** The unions by a tag that a value goes through on its way to the schema that it has to meet, the outermost first. */
export function tagsAt(schema: z.core.$ZodType, value: unknown): Tags[] {
  const { schema: inner } = unwrap(schema);
  const def = defOf(inner);
  if (def.type === 'lazy') return tagsAt(def.getter(), value);
  const tags = tagsOf(inner);
  if (tags === undefined) return [];
  const tag = isPlainObject(value) ? value[tags.field] : undefined;
  const chosen = tags.options.find(({ values }) => values.includes(tag));
  return [tags, ...(chosen === undefined ? [] : tagsAt(chosen.schema, value))];
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
