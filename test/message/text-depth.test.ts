import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasDeepText } from '../../src/message/text-depth.ts';

const MAX = 512;
const arrays = (depth: number, inner = '1'): string => '['.repeat(depth) + inner + ']'.repeat(depth);
const objects = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth);
const isDeep = (text: string): boolean => hasDeepText(Buffer.from(text));
/** The text as a JSON string in a message, so many times over. */
const within = (text: string, times: number): string => {
  let wrapped = text;
  for (let level = 0; level < times; level++) wrapped = JSON.stringify({ id: 'x', body: wrapped });
  return wrapped;
};
/** Every character that is `which` as an escape of JSON. */
const escaped = (json: string, which: RegExp): string =>
  json.replaceAll(which, (character) => `\\u00${character.charCodeAt(0).toString(16).padStart(2, '0')}`);

describe.each([0, 1, 2, 3, 5, 8, 12])('text inside of %d strings', (times) => {
  test.each([
    ['arrays', arrays],
    ['objects', objects],
    ['arrays with text before and after', (depth: number) => `data: it's ${arrays(depth)} {"a":1} "`],
    [
      'arrays whose members hide what closes',
      (depth: number) => '["]",'.repeat(depth) + '1' + ']'.repeat(depth),
    ],
    [
      'objects whose names hide what closes',
      (depth: number) => '{"}":'.repeat(depth) + '1' + '}'.repeat(depth),
    ],
    ['lines', (depth: number) => `{"a":1}\n{"a":"\\""}\n${arrays(depth)}\n{"a":2}`],
  ])('%s: one level too deep, and as deep as may be', (_, make) => {
    if (times <= 5) expect(isDeep(within(make(MAX), times))).toBe(false);
    expect(isDeep(within(make(MAX + 2), times))).toBe(true);
  });
});

describe('brackets behind escapes', () => {
  test.each([/\[/g, /[[\]]/g, /\]/g])('%s', (which) => {
    const body = escaped(JSON.stringify(arrays(600)), which);
    expect(isDeep(`{"body":${body}}`)).toBe(true);
    expect(isDeep(within(`{"body":${body}}`, 2))).toBe(true);
  });

  test('and escapes behind escapes', () => {
    const once = escaped(JSON.stringify(arrays(600)), /[[\]]/g);
    const twice = escaped(JSON.stringify(`{"a":${once}}`), /[5b]/g);
    expect(JSON.parse(JSON.parse(`{"b":${twice}}`).b as string)).toEqual({ a: arrays(600) });
    expect(isDeep(`{"b":${twice}}`)).toBe(true);
  });
});

describe('wide text that is not deep', () => {
  const rows = Array.from({ length: 5000 }, (_, n) => ({ n, s: 'he said "[" :[ {', list: [n, [n]] }));
  test.each([
    ['a list', JSON.stringify(rows)],
    ['a list as text', within(JSON.stringify(rows), 1)],
    ['a list as text in text', within(JSON.stringify(rows), 3)],
    ['lines', rows.map((row) => JSON.stringify(row)).join('\n')],
    ['text in no language of brackets', 'é'.repeat(100_000)],
    ['as many short strings', JSON.stringify(Array.from({ length: 5000 }, () => '[[['))],
    ['a long string with other escapes', JSON.stringify({ a: '\u0001\u00e9<>&\u2028'.repeat(2000) })],
  ])('%s', (_, text) => {
    expect(isDeep(text)).toBe(false);
  });
});

test('a piece that is JSON and nested too deeply is never missed', () => {
  const noise = fc.string({
    unit: fc.constantFrom('"', '[', ']', '{', '}', '\\', 'a', ':', ',', '\n'),
    maxLength: 40,
  });
  const deep = fc.constantFrom(
    arrays(513, '[]'),
    objects(513),
    '["]\\"",'.repeat(513) + '1' + ']'.repeat(513),
  );
  fc.assert(
    fc.property(noise, deep, noise, fc.nat(3), (before, middle, after, times) => {
      expect(isDeep(within(before + middle + after, times))).toBe(true);
    }),
    { numRuns: 300 },
  );
});
