import type { z } from 'zod';
import { ExactNumber } from '../message/decimal.ts';
import { replaceAt } from './plain.ts';
import type { Path } from './problem.ts';
import { schemaAt, unwrap } from './schema-walk.ts';

/** The digits of a document's numbers that differ from those of their double, by the key of their path. */
export type NumberTexts = ReadonlyMap<string, string>;

/**
 * A number as JSON writes it, from its form in YAML, TOML or JSON (`0x1F`, `1_000`, `+.5`); undefined if `value`, the
 * double, says the same, and for a number that JSON cannot write.
 */
export function digitsOf(source: string, value: number): string | undefined {
  const text = jsonNumber(source.trim().replaceAll('_', ''));
  // An unknown form, such as the sexagesimal numbers of YAML 1.1.
  if (text === undefined || Number(text) !== value) return undefined;
  return text === String(value) ? undefined : text;
}

function jsonNumber(source: string): string | undefined {
  if (/^[+-]?0[xob]/i.test(source)) {
    const sign = source.startsWith('-') ? '-' : '';
    return sign + BigInt(source.replace(/^[+-]/, '').toLowerCase()).toString();
  }
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(source);
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = '', exponent] = match;
  if (whole + fraction === '') return undefined;
  const digits = whole.replace(/^0+(?=\d)/, '') || '0';
  return `${sign.replace('+', '')}${digits}${fraction && `.${fraction}`}${exponent === undefined ? '' : `e${exponent}`}`;
}

/** `value` with the digits of the file if a field takes any JSON, which is sent or compared as it was written. */
export function withDigits(schema: z.core.$ZodType, value: unknown, numbers: NumberTexts): unknown {
  let result = value;
  for (const [key, text] of numbers) {
    const path: Path = JSON.parse(key);
    if (isInExact(schema, value, path)) result = replaceAt(result, path, new ExactNumber(text));
  }
  return result;
}

function isInExact(schema: z.core.$ZodType, value: unknown, path: Path): boolean {
  for (let length = 1; length <= path.length; length++) {
    const { schema: found } = schemaAt(schema, value, path.slice(0, length));
    if (found === undefined) return false;
    if (unwrap(found).meta.exact === true) return true;
  }
  return false;
}
