import type { z } from 'zod';
import { defaultInFile, yamlText } from './field-values.ts';
import { defOf, unwrap } from './schema-walk.ts';
import { typeName } from './type-names.ts';

/** A field as its reference tells it. */
export interface FieldDescription {
  /** Dotted where it is part of another: `tls.ca_file`, `inputs[].name`. */
  readonly name: string;
  /** `string`, `duration`, `list of string`, `client | server`, `codec`. */
  readonly type: string;
  /** As YAML; undefined when there is none. */
  readonly default?: string;
  /** Within its parent, if it has one. */
  readonly required: boolean;
  readonly description: string;
  /** Its value is never shown. */
  readonly secret: boolean;
  /** The mode of the component that it is for, where it is not for all. */
  readonly mode?: string;
}

/** The fields of a component's schema, in their order and each followed by its own parts. `type` is not among them. */
export function describeFields(schema: z.ZodObject): FieldDescription[] {
  return describe(schema, '').filter(({ name }) => name !== 'type');
}

function describe(schema: z.core.$ZodType, prefix: string): FieldDescription[] {
  const def = defOf(unwrap(schema).schema);
  if (def.type !== 'object') return [];
  return Object.entries(def.shape).flatMap(([key, field]) => {
    const name = `${prefix}${key}`;
    const unwrapped = unwrap(field);
    const { meta, optional } = unwrapped;
    const fallback = defaultInFile(unwrapped);
    const row: FieldDescription = {
      name,
      type: typeName(field),
      required: !optional,
      description: meta.description ?? '',
      secret: meta.secret ?? false,
      ...(fallback === undefined ? {} : { default: yamlText(fallback) }),
      ...(meta.mode === undefined ? {} : { mode: meta.mode }),
    };
    return [row, ...parts(unwrapped.schema, name)];
  });
}

/** Rows for what is inside an object, a list or map of objects, or a choice that may be an object. */
function parts(schema: z.core.$ZodType, name: string): FieldDescription[] {
  const def = defOf(schema);
  if (def.type === 'object') return describe(schema, `${name}.`);
  if (def.type === 'array') return parts(unwrap(def.element).schema, `${name}[]`);
  if (def.type === 'record') return parts(unwrap(def.valueType).schema, `${name}.<name>`);
  if (def.type !== 'union') return [];
  const rows = new Map<string, FieldDescription>();
  for (const row of def.options.flatMap((option) => parts(unwrap(option).schema, name))) {
    const known = rows.get(row.name);
    if (known === undefined) rows.set(row.name, row);
    // What tells the options apart has one value in each.
    else if (known.type !== row.type) rows.set(row.name, { ...known, type: `${known.type} | ${row.type}` });
  }
  return [...rows.values()];
}
