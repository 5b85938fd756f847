import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PathStep } from '../../src/message/field-path.ts';
import { jsonColumn } from '../../src/message/json-columns.ts';
import { scanFindings } from '../../src/message/json-fields.ts';
import { fieldKinds, ValueReader } from '../../src/message/json-kinds.ts';
import { EVERY_ITEM, learnShape, Shape } from '../../src/message/json-shape.ts';
import { createSlices, type Slices } from '../../src/message/json-slices.ts';
import { findJsonError, MAX_JSON_DEPTH } from '../../src/message/json-validate.ts';
import { valueReader, type RowValue } from '../../src/message/row-values.ts';
import type { ColumnType } from '../../src/message/rows.ts';

const { NULL, BOOL, INT, LONG, FLOAT, STRING, OBJECT, ARRAY, NESTED } = fieldKinds;
const { NEW_FIELD, DUPLICATE, LONE_SURROGATE, OUT_OF_RANGE } = scanFindings;
const fold = (name: string): string => name.toLowerCase();
const LEVELS = 8;

/** The values that are whole payloads. */
function wholeValues(texts: readonly string[]): { payloads: Buffer[]; slices: Slices } {
  const payloads = texts.map((text) => Buffer.from(text));
  const slices = createSlices(texts.length);
  const reader = new ValueReader();
  for (const [index, payload] of payloads.entries()) {
    expect(findJsonError(payload)).toBe(-1);
    slices.ends[index] = reader.read(payload, 0, payload.length);
    slices.kinds[index] = reader.kind;
  }
  return { payloads, slices };
}

function shapeOf(...texts: string[]): Shape {
  const { payloads, slices } = wholeValues(texts);
  return learnShape(new Shape(fold), payloads, slices);
}

function newsOf(shape: Shape, text: string): { found: number; news: [readonly PathStep[], number][] } {
  const found = shape.scan(Buffer.from(text), 0);
  return { found, news: Array.from(shape.news, ({ path, kinds }) => [path, kinds]) };
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

const isObject = (value: Json): value is { readonly [name: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The type that values have in common. */
function commonType(values: readonly Json[], depth = 0): ColumnType {
  const present = values.filter((value) => value !== null);
  if (present.length === 0) return { kind: 'null' };
  if (present.every((value) => typeof value === 'boolean')) return { kind: 'boolean' };
  if (present.every((value) => typeof value === 'string')) return { kind: 'varchar' };
  if (present.every((value) => typeof value === 'number'))
    return { kind: present.every(Number.isInteger) ? 'bigint' : 'double' };
  if (depth < LEVELS && present.every((value) => Array.isArray(value)))
    return { kind: 'list', of: commonType(present.flat() as Json[], depth + 1) };
  if (depth >= LEVELS || !present.every(isObject)) return { kind: 'json' };
  const names = [...new Set(present.flatMap((value) => Object.keys(value)))];
  if (names.length === 0 || names.includes('') || new Set(names.map(fold)).size < names.length)
    return { kind: 'json' };
  return {
    kind: 'struct',
    fields: names.map((name) => ({
      name,
      type: commonType(
        present.flatMap((value) => (Object.hasOwn(value, name) ? [value[name]!] : [])),
        depth + 1,
      ),
    })),
  };
}

/** The value as rows of the type have it. */
function asRow(type: ColumnType, value: Json | undefined): RowValue {
  if (value === undefined || value === null) return null;
  if (type.kind === 'json') return JSON.stringify(value);
  if (type.kind === 'bigint') return BigInt(value as number);
  if (type.kind === 'list') return (value as Json[]).map((item) => asRow(type.of, item));
  if (type.kind === 'struct') {
    const object = value as { readonly [name: string]: Json };
    return Object.fromEntries(
      type.fields.map(({ name, type: of }) => [
        name,
        asRow(of, Object.hasOwn(object, name) ? object[name] : null),
      ]),
    );
  }
  return value;
}

const { value: anyJson } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 10, depthSize: 'large' },
    fc.constantFrom<Json>(null, 1, 2, 0.5, 'x', true),
    fc.array(tie('value'), { maxLength: 3 }),
    fc
      .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'A', '__proto__', ''), tie('value')), {
        maxLength: 3,
        selector: ([name]) => name,
      })
      .map((entries) => Object.fromEntries(entries) as Json),
  ),
}));
const nested = anyJson.filter((value) => typeof value === 'object' && value !== null);

describe('a shape', () => {
  test('is the type that all values have in common, and holds each as it is', () => {
    const feeds = fc.oneof(
      fc.array(nested, { minLength: 1, maxLength: 5 }),
      // Of one kind, so that lists and structs are frequent.
      nested.chain((value) =>
        fc.array(fc.constantFrom(value, { a: value }, { a: value, b: 1 }, { b: [value] }), {
          minLength: 1,
          maxLength: 5,
        }),
      ),
    );
    fc.assert(
      fc.property(feeds, (values) => {
        const texts = values.map((value) => JSON.stringify(value));
        const { payloads, slices } = wholeValues(texts);
        const shape = learnShape(new Shape(fold), payloads, slices);
        const expected = commonType(values);
        expect(shape.type).toEqual(expected);
        for (const payload of payloads) expect(shape.scan(payload, 0)).toBe(0);
        const read = valueReader({ type: shape.type, values: jsonColumn(payloads, slices, shape.type) });
        expect(values.map((_, row) => read(row))).toEqual(values.map((value) => asRow(expected, value)));
      }),
      { numRuns: 1000 },
    );
  });

  test('tells each place that is new, and nothing else', () => {
    const shape = shapeOf('{"a":1,"l":[{"x":"s","y":null}]}');
    expect(newsOf(shape, '{ "a" : 2 , "l" : [ { "y" : null } , null , { } ] }')).toEqual({
      found: 0,
      news: [],
    });
    expect(newsOf(shape, '{"a":1234567890123456789,"l":[{"x":null,"y":true},[0.5],{"z":{"q":[]}}]}')).toEqual(
      {
        found: NEW_FIELD,
        news: [
          [['a'], LONG],
          [['l', EVERY_ITEM, 'y'], BOOL],
          [['l', EVERY_ITEM], ARRAY],
          [['l', EVERY_ITEM, EVERY_ITEM], FLOAT],
          [['l', EVERY_ITEM, 'z'], OBJECT],
          [['l', EVERY_ITEM, 'z', 'q'], ARRAY],
        ],
      },
    );
    expect(newsOf(shape, '[1,"x",null]')).toEqual({
      found: NEW_FIELD,
      news: [
        [[], ARRAY],
        [[EVERY_ITEM], INT | STRING | NULL],
      ],
    });
  });

  test('can have places added and turned one by one, as a vote goes', () => {
    const shape = shapeOf('{"a":1,"b":{"x":1}}');
    const mixed = shape.with(['a'], STRING)!;
    expect(mixed.type).toEqual({
      kind: 'struct',
      fields: [
        { name: 'a', type: { kind: 'json' } },
        { name: 'b', type: { kind: 'struct', fields: [{ name: 'x', type: { kind: 'bigint' } }] } },
      ],
    });
    expect(mixed.kindsAt(['a'])).toBe(INT | STRING);
    expect(newsOf(mixed, '{"a":[{"y":1}]}').news).toEqual([]);
    const turned = shape.withOnly(['a'], STRING);
    expect(turned.kindsAt(['a'])).toBe(STRING);
    expect(newsOf(turned, '{"a":1}').news).toEqual([[['a'], INT]]);
    expect(shape.withOnly(['b'], STRING).kindsAt(['b', 'x'])).toBe(0);
    expect(shape.withOnly([], NESTED).type).toEqual({ kind: 'json' });
    expect(shape.withOnly(['unknown', 'x'], INT).type).toEqual(shape.type);
    // It has not changed itself.
    expect(newsOf(shape, '{"a":"x"}').news).toEqual([[['a'], STRING]]);
  });

  test('has at most 500 places, whatever a message brings', () => {
    const wide = (count: number): string =>
      `{${Array.from({ length: count }, (_, index) => `"n${index}":{"v":[${index}]}`).join(',')}}`;
    expect(shapeOf(wide(100)).type.kind).toBe('struct');
    expect(shapeOf(wide(200)).type).toEqual({ kind: 'json' });
    const shape = shapeOf(wide(160));
    expect(shape.with(['more', 'and', 'more', 'and', 'more', 'a'], INT)).toBeDefined();
    expect(shape.scan(Buffer.from(wide(50_000)), 0)).toBe(NEW_FIELD);
    expect([...shape.news].length).toBeLessThanOrEqual(501);
  });

  test('has at most eight levels, and deeper values are JSON', () => {
    const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;
    const innermost = (type: ColumnType): [number, string] => {
      if (type.kind !== 'list') return [0, type.kind];
      const [levels, kind] = innermost(type.of);
      return [levels + 1, kind];
    };
    expect(innermost(shapeOf(deep(8)).type)).toEqual([8, 'null']);
    expect(innermost(shapeOf(deep(9)).type)).toEqual([8, 'json']);
    expect(innermost(shapeOf(deep(MAX_JSON_DEPTH)).type)).toEqual([8, 'json']);
  });

  test('tells a member that an object has twice, known or not', () => {
    const shape = shapeOf('{"a":1,"l":[{"x":1}]}');
    expect(newsOf(shape, '{"a":1,"a":2}').found).toBe(DUPLICATE);
    expect(shape.duplicate).toEqual(['a']);
    expect(newsOf(shape, '{"l":[{"x":1},{"x":1},{"x":1,"\\u0078":1}]}').found).toBe(DUPLICATE);
    expect(shape.duplicate).toEqual(['l', EVERY_ITEM, 'x']);
    expect(newsOf(shape, '{"b":1,"b":2}').found).toBe(DUPLICATE | NEW_FIELD);
    expect(newsOf(shape, '{"a":1,"l":[{"x":1},{"x":1}]}').found).toBe(0);
    expect(shape.duplicate).toBeUndefined();
  });

  test('tells text that is none, and numbers that no double is', () => {
    const shape = shapeOf('{"s":"x","d":0.5,"j":[1,"x"]}');
    expect(shape.scan(Buffer.from('{"s":"\\ud800"}'), 0)).toBe(LONE_SURROGATE);
    expect(shape.scan(Buffer.from('{"j":["\\ud800"]}'), 0)).toBe(LONE_SURROGATE);
    expect(shape.scan(Buffer.from('{"d":1e400}'), 0)).toBe(OUT_OF_RANGE);
    expect(shape.scan(Buffer.from('{"j":[1e400],"d":1e300,"s":"\\ud83d\\ude00"}'), 0)).toBe(0);
  });
});
