import { z } from 'zod';

/** The fields of an object, as `z.strictObject` takes them. */
export type Shape = Readonly<Record<string, z.ZodType>>;

/** Reports what is wrong with the field at `path` of the object. */
export type Fail = (path: readonly (string | number)[], message: string) => void;

const IS_ALIAS = Symbol('alias');

/** Another name of a field beside it; see {@link alias}. */
export interface Alias<T extends z.ZodType> extends z.ZodOptional<T> {
  readonly [IS_ALIAS]: true;
}

/** A field whose default fills in for a missing value. */
type Defaulted<T extends z.ZodType = z.ZodType> = z.ZodDefault<T> | z.ZodPrefault<T>;

type GivenShape<S extends Shape> = {
  -readonly [F in keyof S]: S[F] extends Defaulted<infer T> ? z.ZodOptional<T> : S[F];
};

/** The value that a component gets: each field under its own name, and each default filled in. */
export type Filled<S extends Shape> = Omit<
  z.output<z.ZodObject<S>>,
  { [F in keyof S]: S[F] extends { readonly [IS_ALIAS]: true } ? F : never }[keyof S]
>;

/** The value as the file gives it, before defaults are filled in. */
export type Given<T> = { readonly [F in keyof T]?: T[F] | undefined };

/** The schema of an object of fields; see {@link settings}. */
export type Settings<S extends Shape> = z.ZodPipe<
  z.ZodObject<GivenShape<S>, z.core.$strict>,
  z.ZodTransform<Filled<S>, z.output<z.ZodObject<GivenShape<S>>>>
>;

/** How a field was declared whose schema in `settings` has lost its default. */
export const declarations = new WeakMap<z.core.$ZodType, z.core.$ZodType>();

const asGiven = new WeakMap<object, object>();

/**
 * The value that the file gave for an object of `settings`, to tell a default from a given value. Any other object is
 * returned as it is.
 */
export function givenOf<T extends object>(filled: T | undefined): Given<T> {
  if (filled === undefined) return {};
  return asGiven.get(filled) ?? filled;
}

/**
 * An object of fields, no others allowed. Declare a default with zod's `.default()` or `.prefault()`, and another
 * name of a field with {@link alias}. `check` reports mistakes in the combination of fields that are each right; it
 * sees the values as the component will get them, and as the file gave them.
 */
export function settings<S extends Shape>(
  shape: S,
  check?: (value: Filled<S>, fail: Fail, given: Given<Filled<S>>) => void,
): Settings<S> {
  const aliases = Object.entries(shape).flatMap(([name, field]) => {
    const of = aliasOf(field);
    return of === undefined ? [] : [[name, of] as const];
  });
  const aliased = new Set(aliases.map(([, of]) => of));
  const fields = Object.entries(shape).map(([name, field]) => [
    name,
    beforeDefaults(field, aliased.has(name)),
  ]);
  const required = [...aliased].filter((name) => !isOptional(shape[name]!));
  const filled = new WeakMap<object, Filled<S>>();

  const fill = (given: Record<string, unknown>): Filled<S> => {
    const known = filled.get(given);
    if (known !== undefined) return known;
    const value = { ...given };
    for (const [name, of] of aliases) {
      if (value[name] !== undefined) value[of] = value[name];
      delete value[name];
    }
    const said = { ...value };
    for (const [name, field] of Object.entries(shape)) {
      if (value[name] === undefined && isDefaulted(field)) value[name] = field.parse(undefined);
    }
    asGiven.set(value, said);
    filled.set(given, value as Filled<S>);
    return value as Filled<S>;
  };

  const schema: z.ZodType = z
    .strictObject(Object.fromEntries(fields) as GivenShape<S>)
    .superRefine((given: Record<string, unknown>, context) => {
      // The name that the file uses.
      const nameOf = (field: string | number): string | number =>
        aliases.find(([name, of]) => of === field && given[name] !== undefined)?.[0] ?? field;
      const fail: Fail = ([first, ...rest], message) =>
        context.addIssue({
          code: 'custom',
          path: first === undefined ? [] : [nameOf(first), ...rest],
          message,
        });
      const before = context.issues.length;
      for (const [name, of] of aliases) {
        if (given[name] === undefined || given[of] === undefined) continue;
        context.addIssue({
          code: 'custom',
          path: [name],
          message: `is another name of \`${of}\`; give one of the two`,
        });
      }
      for (const name of required) if (given[nameOf(name)] === undefined) fail([name], 'missing');
      if (context.issues.length > before) return;
      const value = fill(given);
      check?.(value, fail, givenOf(value));
    })
    .transform((given: Record<string, unknown>) => fill(given));
  return schema as Settings<S>;
}

/**
 * Another name that a file may use for the field `of` of the same `settings`: ArkFlow's name for it. `schema` reads a
 * value that is written differently (`timeout_ms: 100` for `timeout: 100ms`), and returns the value of `of`.
 */
export function alias<T extends z.ZodType>(of: string, schema: T): Alias<T> {
  const field: z.ZodType = schema;
  return field
    .optional()
    .meta({ alias: of })
    .describe(`ArkFlow’s name for \`${of}\`.`) as unknown as Alias<T>;
}

function aliasOf(field: z.ZodType): string | undefined {
  return (field.meta() as { readonly alias?: string } | undefined)?.alias;
}

function isDefaulted(field: z.ZodType): field is Defaulted {
  return field instanceof z.ZodDefault || field instanceof z.ZodPrefault;
}

function isOptional(field: z.ZodType): boolean {
  return isDefaulted(field) || field instanceof z.ZodOptional;
}

/** The field as it may stand in the file: it can be missing if it has a default or another name. */
function beforeDefaults(field: z.ZodType, hasAlias: boolean): z.ZodType {
  if (!isDefaulted(field) && (!hasAlias || isOptional(field))) return field;
  const inner: z.ZodType = isDefaulted(field) ? field.unwrap() : field;
  const { id: _, ...meta } = (field.meta() ?? {}) as Record<string, unknown>;
  const given = inner.optional().meta(meta);
  declarations.set(given, field);
  return given;
}
