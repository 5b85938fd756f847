import type { z } from 'zod';
import { defaultInFile, yamlText } from './field-values.ts';
import { defOf, tagsOf, unwrap, type Tags } from './schema-walk.ts';
import { typeName } from './type-names.ts';

/** A field as its reference describes it. */
export interface FieldDescription {
  /** The name, with dots for a part of another field: `tls.ca_file`, `inputs[].name`. */
  readonly name: string;
  /** `string`, `duration`, `list of string`, `client | server`, `codec`. */
  readonly type: string;
  /** As YAML; undefined when there is none. */
  readonly default?: string;
  /** Within its parent, if it has one. */
  readonly required: boolean;
  readonly description: string;
  /** True if its value is never shown. */
  readonly secret: boolean;
  /** The modes of the component that have it, unless all do. */
  readonly modes?: readonly string[];
  /** The modes in which it is required, if only some require it. */
  readonly requiredIn?: readonly string[];
  /** Other names that it may have in a file. */
  readonly aliases?: readonly string[];
}

/** The fields of a component's schema in order, each followed by its own parts; without `type`. */
export function describeFields(schema: z.ZodType): FieldDescription[] {
  return rowsOf(schema, '').filter(({ name }) => name !== 'type');
}

function rowsOf(schema: z.core.$ZodType, prefix: string): FieldDescription[] {
  const { schema: inner } = unwrap(schema);
  const def = defOf(inner);
  if (def.type === 'object') return describe(def.shape, prefix);
  const tags = tagsOf(inner);
  return tags?.field === 'mode' ? byMode(tags, prefix) : [];
}

function describe(shape: Readonly<Record<string, z.core.$ZodType>>, prefix: string): FieldDescription[] {
  const fields = Object.entries(shape).map(([key, field]) => ({ key, field, unwrapped: unwrap(field) }));
  return fields.flatMap(({ key, field, unwrapped }) => {
    const name = `${prefix}${key}`;
    const { meta, optional } = unwrapped;
    if (meta.alias !== undefined || meta.foreign === true) return [];
    const aliases = fields.flatMap((each) => (each.unwrapped.meta.alias === key ? [prefix + each.key] : []));
    const fallback = defaultInFile(unwrapped);
    const row: FieldDescription = {
      name,
      type: typeName(field),
      required: !optional,
      description: meta.description ?? '',
      secret: meta.secret ?? false,
      ...(fallback === undefined ? {} : { default: yamlText(fallback) }),
      ...(aliases.length === 0 ? {} : { aliases }),
    };
    return [row, ...parts(unwrapped.schema, name)];
  });
}

/** Rows for the parts of an object, of a list or map of objects, or of a choice that may be an object. */
function parts(schema: z.core.$ZodType, name: string): FieldDescription[] {
  const def = defOf(schema);
  if (def.type === 'object') return rowsOf(schema, `${name}.`);
  if (def.type === 'array') return parts(unwrap(def.element).schema, `${name}[]`);
  if (def.type === 'record') return parts(unwrap(def.valueType).schema, `${name}.<name>`);
  if (def.type !== 'union') return [];
  return merge(def.options.map((option) => parts(unwrap(option).schema, name)));
}

/**
 * The rows of several choices, each field once. Rows that only a later choice has come before the next that both
 * have.
 */
function merge(choices: readonly (readonly FieldDescription[])[]): FieldDescription[] {
  let rows: FieldDescription[] = [];
  for (const choice of choices) {
    const merged: FieldDescription[] = [];
    let own: FieldDescription[] = [];
    let left = rows;
    for (const row of choice) {
      const known = left.findIndex(({ name }) => name === row.name);
      if (known < 0) {
        const earlier = merged.findIndex(({ name }) => name === row.name);
        if (earlier < 0) own.push(row);
        else merged[earlier] = both(merged[earlier]!, row);
        continue;
      }
      merged.push(...left.slice(0, known), ...own, both(left[known]!, row));
      own = [];
      left = left.slice(known + 1);
    }
    rows = [...merged, ...left, ...own];
  }
  return rows;
}

/** The tag that tells the choices apart has one value in each; any other field is the same. */
function both(one: FieldDescription, other: FieldDescription): FieldDescription {
  const types = new Set([one.type, other.type].flatMap((type) => type.split(' | ')));
  if (one.type.startsWith(`${other.type} or `)) types.delete(other.type);
  return {
    ...one,
    type: [...types].join(' | '),
    required: one.required && other.required,
    description: one.description.includes(other.description)
      ? one.description
      : `${one.description} ${other.description}`.trim(),
    secret: one.secret || other.secret,
    ...(one.default === undefined && other.default !== undefined ? { default: other.default } : {}),
  };
}

/** The fields of all modes, each with its modes, unless all have it. */
function byMode(tags: Tags, prefix: string): FieldDescription[] {
  const choices = tags.options.map(({ name, schema }) => ({ mode: name, rows: rowsOf(schema, prefix) }));
  return merge(choices.map(({ rows }) => rows)).map(({ default: fallback, ...row }) => {
    const having = choices.flatMap(({ mode, rows }) => {
      const own = rows.find(({ name }) => name === row.name);
      return own === undefined ? [] : [{ mode, required: own.required, fallback: own.default }];
    });
    const modes = having.map(({ mode }) => mode);
    const requiredIn = having.flatMap(({ mode, required }) => (required ? [mode] : []));
    const isDecided = requiredIn.length === 0 || requiredIn.length === modes.length || fallback !== undefined;
    // One that is another in each mode is told by the description.
    const isOne = having.every((each) => (each.fallback ?? fallback) === fallback);
    return {
      ...row,
      ...(fallback !== undefined && isOne && { default: fallback }),
      ...(modes.length === choices.length ? {} : { modes }),
      ...(isDecided ? {} : { requiredIn }),
    };
  });
}
