import { z } from 'zod';
import type { Registry } from '../component/registry.ts';
import { defaultInFile } from './field-values.ts';
import { fileSchema } from './schema.ts';
import { defOf, tagsOf, unwrap } from './schema-walk.ts';

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Keywords that describe a value and do not restrict it. */
const annotations = new Set(['title', 'description', 'default', 'examples', 'writeOnly', 'deprecated']);

/** A string that is one `${…}`, which may stand for a number, a boolean or one of the words that a field takes. */
const expansion: JsonSchema = { type: 'string', pattern: '^\\$\\{[^{}]*\\}$' };

/**
 * The JSON Schema (draft 7, which editors know best) of a configuration file in both of its forms: the object, and
 * the list of streams.
 */
export function configJsonSchema(registry: Registry): Record<string, unknown> {
  const { $schema, definitions, ...file }: JsonSchema = tidy(
    z.toJSONSchema(fileSchema(registry), {
      io: 'input',
      target: 'draft-7',
      unrepresentable: 'any',
      override: ({ zodSchema, jsonSchema }) => edit(zodSchema, jsonSchema),
    }),
  );
  return {
    $schema,
    title: 'Millrace configuration',
    if: { type: 'array' },
    // oxlint-disable-next-line unicorn/no-thenable: a keyword of JSON Schema
    then: { $ref: '#/definitions/file/properties/streams' },
    else: { $ref: '#/definitions/file' },
    definitions: Object.assign({ file }, definitions),
  };
}

/** Makes a schema match the loader, and removes keywords that mean something else to other readers. */
function edit(zodSchema: z.core.$ZodType, json: JsonSchema): void {
  const unwrapped = unwrap(zodSchema);
  const { secret, format, alias, foreign } = unwrapped.meta;
  // Editors show these as they are; JSON Schema has its own keyword for the first.
  delete json['secret'];
  delete json['alias'];
  delete json['exact'];
  delete json['foreign'];
  delete json['shown'];
  if (secret === true) json.writeOnly = true;
  // Not the `duration` of JSON Schema, which means ISO 8601.
  if (format === 'duration' || format === 'size') delete json.format;
  const fallback = defaultInFile(unwrapped);
  if (fallback !== undefined && defOf(zodSchema).type !== 'lazy') Object.assign(json, { default: fallback });
  if (alias !== undefined || foreign === true) json['deprecated'] = true;
  chooseByTag(zodSchema, json);
  joinTypes(json);
  if (isPlainScalar(json)) acceptExpansion(json);
}

/**
 * A union whose options a field tells apart, as conditions on that field: an editor then checks a value only against
 * the option that it names, so that one mistake is shown once.
 */
function chooseByTag(zodSchema: z.core.$ZodType, json: JsonSchema): void {
  const tags = tagsOf(zodSchema);
  if (tags === undefined) return;
  const { field, options } = tags;
  const schemas = json.oneOf!;
  delete json.oneOf;
  const known = options.flatMap(({ values }) => values);
  const mayBeMissing = known.includes(undefined);
  const names: JsonSchema = { enum: known.filter((value) => value !== undefined) as string[] };
  json.type = 'object';
  // A component's `type` is never filled in: a file that took its types from elsewhere could not be checked.
  json.properties = { [field]: field === 'type' ? names : { if: expansion, else: names } };
  if (!mayBeMissing) json.required = [field];
  json.allOf = options.map(({ values }, index) => ({
    if: {
      properties: { [field]: { enum: values.filter((value) => value !== undefined) as string[] } },
      ...(values.includes(undefined) ? {} : { required: [field] }),
    },
    // oxlint-disable-next-line unicorn/no-thenable: a keyword of JSON Schema
    then: schemas[index]!,
  }));
}

/** Turns a choice between bare types into a list of types: a value of none of them is one mistake. */
function joinTypes(json: JsonSchema): void {
  const options = (json.anyOf ?? []).map((option) => option.else ?? option) as JsonSchema[];
  const types = options.map(({ type }) => type);
  const isBare = options.every((option) => Object.keys(option).length === 1) && types.includes('string');
  if (!isBare || !types.every((type) => type !== undefined)) return;
  delete json.anyOf;
  Object.assign(json, { type: types });
}

/**
 * Whether a string such as `${PORT}` would be refused. A component's `type` does not count: it tells the options
 * apart.
 */
function isPlainScalar(json: JsonSchema): boolean {
  if (json.const !== undefined) return false;
  if (json.type === 'number' || json.type === 'integer' || json.type === 'boolean') return true;
  if (json.type !== 'string') return false;
  return [json.enum, json.pattern, json.format, json.minLength, json.maxLength].some(
    (rule) => rule !== undefined,
  );
}

function acceptExpansion(json: JsonSchema): void {
  const rule: JsonSchema = {};
  for (const [key, value] of Object.entries(json)) {
    if (annotations.has(key)) continue;
    rule[key] = value;
    delete json[key];
  }
  json.if = expansion;
  json.else = rule;
}

/**
 * A schema with a reference and more has the reference beside it twice, and readers of draft 7 look at only one of
 * the two.
 */
function tidy<T>(node: T): T {
  if (typeof node !== 'object' || node === null) return node;
  if (Array.isArray(node)) return node.map((each: unknown) => tidy(each)) as T;
  const { $ref, ...rest } = node as { $ref?: string; allOf?: unknown };
  if ($ref !== undefined && Object.keys(rest).length > 0) return tidy({ ...rest, allOf: [{ $ref }] }) as T;
  return Object.fromEntries(Object.entries(node).map(([key, each]) => [key, tidy(each)])) as T;
}
