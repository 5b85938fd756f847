import type { z } from 'zod';
import { kinds } from '../component/define.ts';
import { defOf, unwrap } from './schema-walk.ts';

/** The type of a field as its reference shows it: `string`, `list of string`, `client | server`, `codec`. */
export function typeName(schema: z.core.$ZodType): string {
  const { schema: inner, meta } = unwrap(schema);
  if (meta.format === 'duration' || meta.format === 'size') return meta.format;
  const def = defOf(inner);
  if (def.type === 'number') return isInteger(inner) ? 'integer' : 'number';
  if (def.type === 'enum') return Object.values(def.entries).join(' | ');
  if (def.type === 'literal') return def.values.map(String).join(' | ');
  if (def.type === 'array') return `list of ${typeName(def.element)}`;
  if (def.type === 'record') return `map of ${typeName(def.valueType)}`;
  if (def.type === 'union') return [...new Set(def.options.map(typeName))].join(' or ');
  if (def.type === 'lazy') return meta.id ?? typeName(def.getter());
  return ['any', 'unknown', 'custom'].includes(def.type) ? 'any value' : def.type;
}

/**
 * The expectation that a mistake reports: `a whole number`, `"client" or "server"`, `an input: an object with a
 * type`.
 */
export function expectation(schema: z.core.$ZodType): string {
  const { schema: inner, meta } = unwrap(schema);
  if (meta.format === 'duration') return 'a duration, such as 250ms, 5s or 1m';
  if (meta.format === 'size') return 'a size, such as 64KiB or 4MiB';
  const def = defOf(inner);
  if (def.type === 'string') return 'a string';
  if (def.type === 'number') return isInteger(inner) ? 'a whole number' : 'a number';
  if (def.type === 'boolean') return 'true or false';
  if (def.type === 'enum') return either(Object.values(def.entries).map((value) => JSON.stringify(value)));
  if (def.type === 'literal') return either(def.values.map((value) => JSON.stringify(value)));
  if (def.type === 'union') return either([...new Set(def.options.map(expectation))]);
  if (def.type === 'object' || def.type === 'record') return 'an object';
  if (def.type === 'array') {
    const { id } = unwrap(def.element).meta;
    return id === undefined ? 'a list' : `a list of ${id}s`;
  }
  if (def.type !== 'lazy') return 'another value';
  return meta.id !== undefined && kinds.some((kind) => kind === meta.id)
    ? `${article(meta.id)}: an object with a type`
    : expectation(def.getter());
}

export function article(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`;
}

/** `a`, `a or b`, `a, b or c`. */
export function either(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} or ${items.at(-1)!}`;
}

function isInteger(schema: z.core.$ZodType): boolean {
  return 'isInt' in schema && schema.isInt === true;
}
