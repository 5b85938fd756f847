import { z } from 'zod';
import type { Registry } from '../component/registry.ts';
import { defaultInFile } from './field-values.ts';
import { fileSchema } from './schema.ts';
import { defOf, unwrap } from './schema-walk.ts';

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** What tells people of a value and does not restrict it. */
const annotations = new Set(['title', 'description', 'default', 'examples', 'writeOnly']);

/** A whole string of one `${…}`, which may stand for a number, a boolean or one of the words that a field takes. */
const expansion: JsonSchema = { type: 'string', pattern: '^\\$\\{[^{}]*\\}$' };

/**
 * JSON Schema (draft 7, which editors know best) of a configuration file, in both of its forms: the object, and the
 * list of streams.
 */
export function configJsonSchema(registry: Registry): Record<string, unknown> {
  const { $schema, definitions, ...file }: JsonSchema = z.toJSONSchema(fileSchema(registry), {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => edit(zodSchema, jsonSchema),
  });
  return {
    $schema,
    title: 'Millrace configuration',
    anyOf: [{ $ref: '#/definitions/file' }, { $ref: '#/definitions/file/properties/streams' }],
    definitions: Object.assign({ file }, definitions),
  };
}

/** Makes a schema say what the loader accepts, and takes from it what means something else to other readers. */
function edit(zodSchema: z.core.$ZodType, json: JsonSchema): void {
  const unwrapped = unwrap(zodSchema);
  const { secret, format } = unwrapped.meta;
  // Editors show these as they are; JSON Schema has its own word for the first.
  delete json['secret'];
  delete json['mode'];
  delete json['exact'];
  delete json['shown'];
  if (secret === true) json.writeOnly = true;
  // Not the `duration` of JSON Schema, which is that of ISO 8601.
  if (format === 'duration' || format === 'size') delete json.format;
  const fallback = defaultInFile(unwrapped);
  if (fallback !== undefined && defOf(zodSchema).type !== 'lazy') Object.assign(json, { default: fallback });
  if (isPlainScalar(json)) acceptExpansion(json);
}

/** Whether a string such as `${PORT}` would be refused. A component's `type` is not one: it tells the others apart. */
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
  json.anyOf = [rule, expansion];
}
