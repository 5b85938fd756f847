import { globalRegistry, type z } from 'zod';
import { declarations } from '../component/settings.ts';
import { isPlainObject, valueAt } from './plain.ts';
import type { Path } from './problem.ts';

/** The properties of a field besides its type, from `.meta({…})`. */
export interface FieldMeta {
  readonly id?: string | undefined;
  readonly description?: string | undefined;
  readonly format?: string | undefined;
  readonly secret?: boolean | undefined;
  /** True if its value may be shown even when it comes from `${…}`. */
  readonly shown?: boolean | undefined;
  /** True if it takes any JSON, and its numbers keep the digits of the file, as `ExactNumber`. */
  readonly exact?: boolean | undefined;
  /** True if only ArkFlow knows it: it is accepted so that a file of ArkFlow's loads, and never proposed. */
  readonly foreign?: boolean | undefined;
  /** The field beside it for which it is another name. */
  readonly alias?: string | undefined;
}

/** A schema without its wrappers, and the properties that they gave it. */
export interface Unwrapped {
  readonly schema: z.core.$ZodType;
  readonly meta: FieldMeta;
  readonly optional: boolean;
  /** As a file writes it, or parsed. */
  readonly default?: { readonly value: unknown; readonly parsed: boolean };
}

/** The definition of a schema, told apart by `type`. */
export function defOf(schema: z.core.$ZodType): z.core.$ZodTypes['_zod']['def'] {
  return (schema as z.core.$ZodTypes)._zod.def;
}

function metaOf(schema: z.core.$ZodType): FieldMeta {
  let meta = globalRegistry.get(schema) ?? {};
  // `component.describe(…)` is a copy, to which zod gives all properties of the component except its id.
  for (let { parent } = schema._zod; parent !== undefined; { parent } = parent._zod) {
    meta = { ...globalRegistry.get(parent), ...meta };
  }
  return meta;
}

/** Lazy schemas of components stay lazy, since their `id` says enough. */
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
  // A file holds the input of a pipe, unless that is a function (z.preprocess).
  if (def.type === 'pipe') return defOf(def.in).type === 'transform' ? def.out : def.in;
  return 'innerType' in def ? def.innerType : undefined;
}

/**
 * The options of a tagged union, each with its values of the tag; `undefined` is one of them if the tag is optional.
 */
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

/** The tags of a union that has some: `type` or `mode`. */
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

/** The schemas that may apply to a value: the options of unions, narrowed by `type` and the like. */
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

/** The tagged unions on a value's way to the schema that applies to it, the outermost first. */
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

/** The schema of the part of `root` at `path`, if there is one, and whether it is, or is part of, a secret. */
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

/** The fields of an object's schema by name, or undefined for any other schema. */
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
