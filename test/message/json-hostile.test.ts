import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Path, PathStep } from '../../src/message/field-path.ts';
import { jsonColumn } from '../../src/message/json-columns.ts';
import { FieldScanner, scanFindings } from '../../src/message/json-fields.ts';
import { ALL_KINDS, fieldKinds, valueFlags } from '../../src/message/json-kinds.ts';
import { learnShape, Shape } from '../../src/message/json-shape.ts';
import { createSlices } from '../../src/message/json-slices.ts';
import { findJsonError } from '../../src/message/json-validate.ts';
import { valueReader, type RowValue } from '../../src/message/row-values.ts';
import type { BytesKind, FixedKind } from '../../src/message/rows.ts';

const { OBJECT, INT, LONG, BIGINT } = fieldKinds;

const messages = [
  '{"a":1,"b":{"n":[1,{"x":"y"}],"m":"\\u00e9\\n"},"c":[true,null,-0.5e3]}',
  '{"a":{"a":{"a":[[],{},""]}},"__proto__":{"b":1},"":0}',
  ' {"a" : "\\ud83d\\ude00" , "a2":123456789012345678901 }\r\n',
  '{"b":{"n":[0,{"x":9223372036854775807}]},"a":-0}',
  '{"\\u0061":1,"b":{"\\u006e":[1,{"\\u0078":1e400}]}}',
  '{"a":"\\ud800","b":{"n":"€😀\u007f"}}',
];
const tokens = [
  ...Array.from('"\\{}[],:01-.eE '),
  'null',
  'true',
  '"a"',
  '"b":',
  '"n":',
  '"x":',
  '\\u0061',
  '\\ud800',
  '\\"',
  '{}',
  '[]',
  '"a":1,',
  '😀',
];
const paths: readonly Path[] = [
  ['a'],
  ['b'],
  [''],
  ['b', 'n'],
  ['b', 'n', 0],
  ['b', 'n', 1, 'x'],
  ['a', 'a', 'a', 1],
  ['__proto__', 'b'],
];

/** Messages with pieces cut out and put in, of which some are JSON. */
const damaged = fc
  .tuple(
    fc.constantFrom(...messages),
    fc.array(fc.tuple(fc.nat(80), fc.nat(3), fc.constantFrom(...tokens, '', '')), {
      minLength: 1,
      maxLength: 2,
    }),
  )
  .map(([message, cuts]) =>
    cuts
      .reduce((text, [at, cut, token]) => text.slice(0, at) + token + text.slice(at + cut), message)
      .toWellFormed(),
  )
  .filter((text) => findJsonError(Buffer.from(text)) < 0);

function valueAt(value: unknown, path: readonly PathStep[]): unknown {
  return path.reduce((at, step) => {
    if (typeof step === 'number') return Array.isArray(at) ? (at as unknown[])[step] : undefined;
    const isObject = typeof at === 'object' && at !== null && !Array.isArray(at);
    return isObject && Object.hasOwn(at, step) ? (at as Record<string, unknown>)[step] : undefined;
  }, value);
}

test('damaged messages that are still JSON are read as JSON.parse reads them', () => {
  const scanner = new FieldScanner({
    matters: (name) => ['a', 'b', ''].includes(name),
    paths: paths.filter(({ length }) => length > 1),
  });
  for (const path of paths) scanner.allow(path, ALL_KINDS);
  fc.assert(
    fc.property(damaged, (text) => {
      const payload = Buffer.from(text);
      const slices = scanner.begin(1);
      const found = scanner.scan(payload, 0);
      expect(found & scanFindings.NEW_FIELD).toBe(0);
      if ((found & (scanFindings.DUPLICATE | scanFindings.NOT_OBJECT)) !== 0) return;
      for (const path of paths) {
        const of = slices.of(path);
        const expected = valueAt(JSON.parse(text), path);
        if (of === undefined) {
          expect(expected).toBeUndefined();
          continue;
        }
        const raw = payload.subarray(of.starts[0], of.ends[0]).toString();
        expect(JSON.parse(raw)).toEqual(expected);
        const kind = of.kinds[0]!;
        const read = (as: FixedKind | BytesKind): RowValue =>
          valueReader({ type: { kind: as }, values: jsonColumn([payload], of, { kind: as }) })(0);
        expect(read('json')).toBe(expected === null ? null : raw);
        if (typeof expected === 'number') expect(read('double')).toBe(expected);
        if ((kind & (INT | LONG | BIGINT)) !== 0) expect(read('hugeint')).toBe(BigInt(raw));
        if (typeof expected === 'string' && (kind & valueFlags.LONE_HALF) === 0)
          expect(read('varchar')).toBe(expected);
      }
    }),
    { numRuns: 1500 },
  );
});

test.each([
  ['names', `{${Array.from({ length: 20_000 }, (_, index) => `"n${index}":{"n":0}`).join(',')}}`],
  ['copies of a name', `{${'"d":{"n":1},'.repeat(20_000)}"e":1}`],
  ['spellings', `{${Array.from({ length: 4096 }, (_, index) => `"${spelling(index)}":{"n":1}`).join(',')}}`],
  ['escapes', `{"d":{"n":"${'\\u0041'.repeat(100_000)}"}}`],
  ['letters in a name', `{"${'x'.repeat(200_000)}":1,"${'\\u0078'.repeat(40_000)}":1}`],
  ['items', `{"d":[${'{"a":1},[],'.repeat(30_000)}1]}`],
  ['digits', `{"d":{"n":${'9'.repeat(200_000)}},"x":1${'0'.repeat(100_000)}e-${'9'.repeat(20_000)}}`],
  ['brackets', `{"d":${'[{"n":'.repeat(250)}1${'}]'.repeat(250)}}`],
])('a message of very many %s is read in one go, and the next as ever', (_, text) => {
  const payload = Buffer.from(text);
  expect(findJsonError(payload)).toBe(-1);
  const scanner = new FieldScanner({
    matters: (name) => name === 'e',
    paths: [
      ['dddddddddddd', 'n'],
      ['d', 'n'],
      ['d', 3],
    ],
    fold: (name) => name.toLowerCase(),
  });
  const slices = createSlices(1);
  slices.kinds[0] = OBJECT;
  scanner.scan(payload);
  const shape = learnShape(new Shape((name) => name.toLowerCase()), [payload], slices);
  expect(jsonColumn([payload], slices, shape.type).valid).toBeUndefined();
  scanner.scan(Buffer.from('{"D":{"x":1,"N":2},"d":[1,2,3,4]}'));
  expect(Array.from(scanner.news, ({ path }) => path)).toEqual([
    ['D', 'N'],
    ['d', 3],
  ]);
});

function spelling(index: number): string {
  return Array.from('dddddddddddd', (letter, at) => (((index >> at) & 1) === 0 ? letter : 'D')).join('');
}
