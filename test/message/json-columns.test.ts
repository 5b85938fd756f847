import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jsonColumn } from '../../src/message/json-columns.ts';
import { FieldScanner } from '../../src/message/json-fields.ts';
import { ALL_KINDS } from '../../src/message/json-kinds.ts';
import type { Slices } from '../../src/message/json-slices.ts';
import { findJsonError } from '../../src/message/json-validate.ts';
import { valueReader, type RowValue } from '../../src/message/row-values.ts';
import { lengthOf, type ColumnType } from '../../src/message/rows.ts';

const BOOLEAN: ColumnType = { kind: 'boolean' };
const BIGINT: ColumnType = { kind: 'bigint' };
const HUGEINT: ColumnType = { kind: 'hugeint' };
const DOUBLE: ColumnType = { kind: 'double' };
const VARCHAR: ColumnType = { kind: 'varchar' };
const JSON_TYPE: ColumnType = { kind: 'json' };

/** The field `a` of messages with these texts; undefined for a message without it. */
function fieldOf(texts: readonly (string | undefined)[]): { payloads: Buffer[]; slices: Slices | undefined } {
  const payloads = texts.map((text) =>
    Buffer.from(text === undefined ? '{"b":1}' : `{"b":0, "a" : ${text} }`),
  );
  for (const payload of payloads) expect(findJsonError(payload)).toBe(-1);
  const scanner = new FieldScanner();
  scanner.allow(['a'], ALL_KINDS);
  const slices = scanner.begin(payloads.length);
  for (const [index, payload] of payloads.entries()) scanner.scan(payload, index);
  return { payloads, slices: slices.of(['a']) };
}

function columnOf(texts: readonly (string | undefined)[], type: ColumnType, places?: number[]): RowValue[] {
  const { payloads, slices } = fieldOf(texts);
  const values = jsonColumn(payloads, slices, type, places);
  const read = valueReader({ type, values });
  return Array.from({ length: lengthOf(values) }, (_, row) => read(row));
}

const digits = fc.stringMatching(/^-?(?:0|[1-9]\d{0,18}|[1-9]\d{0,37})$/);
const exponent = fc
  .tuple(fc.constantFrom('', '', 'e', 'E', 'e+', 'e-'), fc.nat(330))
  .map(([letter, power]) => (letter === '' ? '' : `${letter}${power % 2 === 0 ? power : power % 30}`));
const fraction = fc.stringMatching(/^(?:|\.\d{1,25})$/);
const number = fc.tuple(digits, fraction, exponent).map((parts) => parts.join(''));

describe('numbers', () => {
  test('become the doubles that JSON.parse makes', () => {
    fc.assert(
      fc.property(fc.array(number, { minLength: 1 }), (texts) => {
        expect(columnOf(texts, DOUBLE)).toEqual(texts.map(Number));
      }),
      { numRuns: 300 },
    );
  });

  test('that doubles print are read back', () => {
    const double = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.array(double, { minLength: 1 }), (values) => {
        const texts = values.map((value) => (Object.is(value, -0) ? '-0.0' : JSON.stringify(value)));
        expect(columnOf(texts, DOUBLE)).toEqual(values);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    '-0',
    '-0.0',
    '-0e5',
    '1e400',
    '-1e400',
    '1e-400',
    '9007199254740993',
    '0.1e1',
    '5e-324',
    '1e22',
    '1e23',
    '123456789012345678901234567890.12345',
  ])('%s', (text) => expect(columnOf([text], DOUBLE)).toEqual([Number(text)]));

  test('that are integers keep every digit', () => {
    const max = 2n ** 127n - 1n;
    const integer = fc.oneof(
      digits,
      fc.bigInt({ min: -max - 1n, max }).map(String),
      fc
        .integer({ min: 0, max: 127 })
        .chain((power) =>
          fc
            .constantFrom(2n ** BigInt(power) - 1n, -(2n ** BigInt(power)), 2n ** BigInt(power) - 2n ** 32n)
            .map(String),
        ),
    );
    fc.assert(
      fc.property(fc.array(integer, { minLength: 1 }), (texts) => {
        const values = texts.map(BigInt);
        const small = values.map((value) => (BigInt.asIntN(64, value) === value ? value : null));
        expect(columnOf(texts, HUGEINT)).toEqual(values);
        expect(columnOf(texts, BIGINT)).toEqual(small);
      }),
      { numRuns: 300 },
    );
  });
});

describe('strings', () => {
  /** A JSON string in which characters are written in any of the ways there are. */
  const quoted = (text: string, ways: readonly number[]): string => {
    const short: Readonly<Record<string, string>> = {
      '"': '\\"',
      '\\': '\\\\',
      '/': '\\/',
      '\b': '\\b',
      '\f': '\\f',
      '\n': '\\n',
      '\r': '\\r',
      '\t': '\\t',
    };
    let json = '"';
    for (let at = 0; at < text.length; at++) {
      const unit = text[at]!;
      const code = text.charCodeAt(at);
      const hex = code.toString(16).padStart(4, '0');
      const way = ways[at % ways.length]!;
      const isHalf = code >= 0xd800 && code < 0xe000;
      if (way === 0 && short[unit] !== undefined) json += short[unit];
      else if (way === 1 || isHalf || code < 0x20 || unit === '"' || unit === '\\')
        json += `\\u${way % 2 === 0 ? hex : hex.toUpperCase()}`;
      else json += unit;
    }
    return `${json}"`;
  };
  const text = fc.string({
    unit: fc.constantFrom(
      'a',
      '"',
      '\\',
      '/',
      '\b',
      '\n',
      '\t',
      '\0',
      'é',
      '€',
      '\uffff',
      '😀',
      '\u{10ffff}',
      ' x'.repeat(30),
    ),
  });
  const ways = fc.array(fc.nat(3), { minLength: 1, maxLength: 5 });

  test('are their characters', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(text, ways), { minLength: 1 }), (strings) => {
        const texts = strings.map(([each, way]) => quoted(each, way));
        expect(texts.map((each): unknown => JSON.parse(each))).toEqual(strings.map(([each]) => each));
        expect(columnOf(texts, VARCHAR)).toEqual(strings.map(([each]) => each));
        expect(columnOf(texts, JSON_TYPE)).toEqual(texts);
      }),
      { numRuns: 300 },
    );
  });

  test('with half a surrogate pair have U+FFFD in its place', () => {
    const texts = ['"\\ud800"', '"\\udc00x"', '"\\ud800\\ud800\\udc00"', '"\\ud800\\n"', '"\\ud800\\u0041"'];
    expect(columnOf(texts, VARCHAR)).toEqual(['\ufffd', '\ufffdx', '\ufffd\u{10000}', '\ufffd\n', '\ufffdA']);
  });

  test('are the text of anything else that is read as text, without whitespace', () => {
    const texts = ['1.10', 'true', '{ "a" : [1.0,\n"b c"] }', '[ ]', '-0'];
    expect(columnOf(texts, VARCHAR)).toEqual(['1.10', 'true', '{"a":[1.0,"b c"]}', '[]', '-0']);
  });
});

test.each([BOOLEAN, BIGINT, HUGEINT, DOUBLE, VARCHAR, JSON_TYPE, { kind: 'null' } as const])(
  '%j has NULL for an absent value and for null',
  (type) => {
    expect(columnOf([undefined, 'null'], type)).toEqual([null, null]);
    expect(columnOf([], type)).toEqual([]);
    expect(columnOf([undefined], type)).toEqual([null]);
  },
);

test('a value of a kind that the type does not have is NULL', () => {
  const texts = ['true', '1', '1.5', '"x"', '[1]', '{"a":1}', '9'.repeat(39)];
  const only = (...places: number[]): boolean[] => texts.map((_, index) => places.includes(index));
  const present = (type: ColumnType): boolean[] => columnOf(texts, type).map((value) => value !== null);
  expect(present(BOOLEAN)).toEqual(only(0));
  expect(present(BIGINT)).toEqual(only(1));
  expect(present(HUGEINT)).toEqual(only(1));
  expect(present(DOUBLE)).toEqual(only(1, 2, 6));
  expect(present({ kind: 'list', of: BIGINT })).toEqual(only(4));
  expect(present({ kind: 'struct', fields: [{ name: 'a', type: BIGINT }] })).toEqual(only(5));
  expect(() => columnOf(texts, { kind: 'blob' })).toThrow(TypeError);
});

test('only some places, in their order', () => {
  const texts = ['1', undefined, '22', '"x"', '[333,null]'];
  const places = [4, 0, 1, 2, 0];
  expect(columnOf(texts, BIGINT, places)).toEqual([null, 1n, null, 22n, 1n]);
  expect(columnOf(texts, JSON_TYPE, places)).toEqual(['[333,null]', '1', null, '22', '1']);
  expect(columnOf(texts, VARCHAR, [3, 3])).toEqual(['x', 'x']);
  expect(columnOf(texts, { kind: 'list', of: DOUBLE }, places)).toEqual([
    [333, null],
    null,
    null,
    null,
    null,
  ]);
});

describe('lists and structs', () => {
  const { type: nestedType } = fc.letrec<{ type: ColumnType }>((tie) => ({
    type: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(BOOLEAN, BIGINT, HUGEINT, DOUBLE, VARCHAR, JSON_TYPE),
      tie('type').map((of): ColumnType => ({ kind: 'list', of })),
      fc
        .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', '__proto__', 'a"b', 'é'), tie('type')), {
          minLength: 1,
          selector: ([name]) => name,
        })
        .map((fields): ColumnType => ({
          kind: 'struct',
          fields: fields.map(([name, type]) => ({ name, type })),
        })),
    ),
  }));

  /** JSON for a type, and its value. `next` gives numbers below its argument. */
  function valueOf(type: ColumnType, next: (below: number) => number): [string, RowValue] {
    if (next(6) === 0) return ['null', null];
    const space = ['', '', ' ', '\n'][next(4)]!;
    if (type.kind === 'boolean') return next(2) === 0 ? ['true', true] : ['false', false];
    if (type.kind === 'bigint') {
      const value = BigInt(next(1e9));
      return [String(value), value];
    }
    if (type.kind === 'list') {
      const items = Array.from({ length: next(4) }, () => valueOf(type.of, next));
      return [
        `[${space}${items.map(([text]) => text).join(`${space},`)}${space}]`,
        items.map(([, value]) => value),
      ];
    }
    if (type.kind === 'struct') {
      const entries = type.fields.map(({ name, type: of }) => [name, ...valueOf(of, next)] as const);
      const sent = entries.filter(() => next(5) > 0);
      if (next(3) === 0) sent.reverse();
      const members = sent.map(([name, text]) => `${JSON.stringify(name)}${space}:${text}`);
      if (next(4) === 0) members.splice(next(members.length + 1), 0, '"unknown":[{"a":1}]');
      return [
        `{${space}${members.join(`,${space}`)}${space}}`,
        Object.fromEntries(
          entries.map(([name, , value]) => [name, sent.some(([each]) => each === name) ? value : null]),
        ),
      ];
    }
    if (type.kind === 'varchar') return [`"é\\n${space.replace('\n', '')}"`, `é\n${space.replace('\n', '')}`];
    if (type.kind === 'json') return ['{ "x":1.10}', '{ "x":1.10}'];
    if (type.kind === 'double') return ['1.25', 1.25];
    return ['12345678901234567890', 12345678901234567890n];
  }

  test('have their items and members, wherever they stand', () => {
    const seeds = fc.array(fc.array(fc.nat(1e9), { minLength: 30, maxLength: 60 }), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(nestedType, seeds, (type, all) => {
        const rows = all.map((seed) => {
          let at = 0;
          return valueOf(type, (below) => seed[at++ % seed.length]! % below);
        });
        const texts = rows.map(([text]) => text);
        expect(columnOf(texts, type)).toEqual(rows.map(([, value]) => value));
      }),
      { numRuns: 300 },
    );
  });
});
