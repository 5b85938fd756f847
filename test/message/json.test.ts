import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { joinJsonArray, jsonMembers, keepJsonMembers, wrapAsJson } from '../../src/message/json.ts';
import { describeJsonError, findJsonError, MAX_JSON_DEPTH } from '../../src/message/json-validate.ts';
import { findUtf8Error, textOf } from '../../src/message/text.ts';

const bytes = (text: string): Buffer => Buffer.from(text);
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** JSON values with every kind of token, and with numbers and strings that JSON.stringify would not write. */
const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string; space: string }>((tie) => ({
  space: fc.stringMatching(/^[ \t\n\r]{0,2}$/),
  value: fc
    .tuple(
      tie('space'),
      fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        fc.constantFrom('true', 'false', 'null', '{}', '[]', '""'),
        fc.stringMatching(/^-?(0|[1-9]\d{0,20})(\.\d{1,5})?([eE][+-]?\d{1,3})?$/),
        fc.string({ unit: 'binary', maxLength: 10 }).map((text) => JSON.stringify(text)),
        fc.stringMatching(/^"(\\(["\\/bfnrt]|u[0-9a-fA-F]{4})|[a-z]){0,5}"$/),
        fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(',')}]`),
        fc
          .array(fc.tuple(tie('space'), fc.string({ maxLength: 4 }), tie('space'), tie('value')), {
            maxLength: 4,
          })
          .map(
            (members) =>
              `{${members.map(([a, name, b, value]) => `${a}${JSON.stringify(name)}${b}:${value}`).join()}}`,
          ),
      ),
      tie('space'),
    )
    .map((parts) => parts.join('')),
})).value;

describe('findJsonError', () => {
  test.each([
    '',
    ' ',
    '\n',
    '0',
    '-0',
    '-',
    '01',
    '-01',
    '1.',
    '.1',
    '1.e3',
    '1e',
    '1e+',
    '1E-2',
    '+1',
    '1 2',
    '0x1',
    'NaN',
    'Infinity',
    '-Infinity',
    'true',
    'tru',
    'truee',
    'True',
    'fals',
    'falsy',
    'false',
    'nul',
    'null',
    'nulL',
    'n',
    '"',
    '""',
    '"a',
    '"\\',
    '"\\"',
    '"\\u',
    '"\\u12',
    '"\\u123"',
    '"\\u12g4"',
    '"\\u1234"',
    '"\\ud800"',
    '"\\x41"',
    '"\\a"',
    '"\u0000"',
    '"\u001f"',
    '"\n"',
    '"\t"',
    '"\u007f"',
    '"\u2028"',
    "'a'",
    '[',
    ']',
    '[]',
    '[1',
    '[1,',
    '[1,]',
    '[,1]',
    '[1,,2]',
    '[,]',
    '[1 2]',
    '[[]',
    '[]]',
    '[}',
    '{',
    '}',
    '{}',
    '{]',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '{,}',
    '{"a":1,,"b":2}',
    '{"a" 1}',
    '{a:1}',
    '{1:1}',
    '{"a":1 "b":2}',
    '{"a":}',
    '{:1}',
    '{"a":1:2}',
    '{"a":1]',
    '[{"a":1}',
    '{} {}',
    '{}, {}',
    '1,2',
    '[1],[2]',
    '// 1',
    '/**/1',
    '\ufeff{}',
    '{}\ufeff',
    '\u00a01',
    '1\u00a0',
    '\u000b1',
    ' \t\r\n{ "a" : [ 1 , true ] } \n',
    '{"a":{"b":[{}]}}',
    '\u00001',
    '1\u0000',
  ])('takes %j as JSON.parse does', (text) => {
    expect(findJsonError(bytes(text)) === -1).toBe(isJson(text));
  });

  test('agrees with JSON.parse on any text', () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(...Array.from('[]{}",:0123456789.eE+-truefalsn\\u \n\t\u0000\u00e9')),
          maxLength: 20,
        }),
        (text) => {
          expect(findJsonError(bytes(text)) === -1).toBe(isJson(text));
        },
      ),
      { numRuns: 5000 },
    );
  });

  test('accepts JSON', () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        expect(isJson(text)).toBe(true);
        expect(findJsonError(bytes(text))).toBe(-1);
      }),
      { numRuns: 3000 },
    );
  });

  test('agrees with JSON.parse on JSON with a byte changed, added or removed, in a part of a larger buffer', () => {
    const change = fc.record({
      at: fc.nat(),
      remove: fc.nat({ max: 1 }),
      add: fc.oneof(
        fc.constant([]),
        fc.tuple(fc.nat({ max: 127 })),
        fc.constantFrom(...bytes('[]{}",:0e.-\\')).map((byte) => [byte]),
      ),
    });
    fc.assert(
      fc.property(jsonText, fc.array(change, { minLength: 1, maxLength: 2 }), (text, changes) => {
        const mutated = [...bytes(text)];
        for (const { at, remove, add } of changes) mutated.splice(at % (mutated.length + 1), remove, ...add);
        const chunk = Buffer.from([0x22, 0x5d, ...mutated, 0x22, 0x5d, 0x7d]);
        const payload = chunk.subarray(2, 2 + mutated.length);
        const error = findJsonError(payload);
        expect(error === -1).toBe(isJson(payload.toString()));
        expect(error).toBeLessThanOrEqual(payload.length);
        if (error >= 0) expect(describeJsonError(payload, error)).toMatch(/^not JSON: /);
      }),
      { numRuns: 5000 },
    );
  });

  test('gives the first byte after which no JSON can follow', () => {
    fc.assert(
      fc.property(jsonText, fc.nat(), fc.nat({ max: 127 }), (text, place, byte) => {
        const payload = bytes(text);
        payload[place % payload.length] = byte;
        const offset = findJsonError(payload);
        if (offset === -1) return;
        // The bytes before it begin some JSON text: only its end is missing.
        const before = findJsonError(payload.subarray(0, offset));
        expect([-1, offset]).toContain(before);
      }),
      { numRuns: 3000 },
    );
  });

  test('takes any byte from 0x80 up inside a string, and nowhere else', () => {
    for (let byte = 0x80; byte <= 0xff; byte++) {
      expect(findJsonError(Buffer.from([0x22, byte, 0x22]))).toBe(-1);
      expect(findJsonError(Buffer.from([byte]))).toBe(0);
      expect(findJsonError(Buffer.from([0x31, byte]))).toBe(1);
    }
  });

  test('bounds the nesting', () => {
    expect(findJsonError(bytes(nested(MAX_JSON_DEPTH)))).toBe(-1);
    expect(findJsonError(bytes(`${'{"a":'.repeat(MAX_JSON_DEPTH)}1${'}'.repeat(MAX_JSON_DEPTH)}`))).toBe(-1);
    expect(findJsonError(bytes(nested(MAX_JSON_DEPTH + 2)))).toBe(MAX_JSON_DEPTH);
    expect(findJsonError(bytes('['.repeat(1_000_000)))).toBe(MAX_JSON_DEPTH);
    expect(findJsonError(bytes(nested(3)))).toBe(-1);
  });
});

test.each([
  ['', 'not JSON: the message is empty'],
  ['{"a":1', 'not JSON: it ends too early, at byte 6'],
  ['{"a":1}}', 'not JSON: unexpected `}` at byte 7'],
  ['"a\nb"', 'not JSON: unexpected 0x0a at byte 2'],
  ['\ufeff{}', 'not JSON: it begins with a byte order mark'],
  ['["\\["]', 'not JSON: unexpected `[` at byte 3'],
  ['[1][', 'not JSON: unexpected `[` at byte 3'],
  [`["]", ${nested(MAX_JSON_DEPTH + 1)}]`, 'nested deeper than 512 levels at byte 517'],
])('describeJsonError says of %j: %s', (text, message) => {
  expect(describeJsonError(bytes(text), findJsonError(bytes(text)))).toBe(message);
});

describe('joinJsonArray', () => {
  test('has each payload as one element, byte for byte', () => {
    fc.assert(
      fc.property(fc.array(jsonText, { maxLength: 8 }), (texts) => {
        const joined = joinJsonArray(texts.map(bytes));
        expect(joined.toString()).toBe(`[${texts.join(',')}]`);
        expect(JSON.parse(joined.toString())).toEqual(texts.map((text) => JSON.parse(text) as unknown));
      }),
    );
  });
});

describe('jsonMembers', () => {
  test('names every member, with its name and value as they stand', () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        const payload = bytes(text);
        const members = jsonMembers(payload);
        const value: unknown = JSON.parse(text);
        if (typeof value !== 'object' || value === null || Array.isArray(value)) {
          expect(members).toBeUndefined();
          return;
        }
        const found = new Map(
          members!.map(({ name, valueStart, end }): [string, unknown] => [
            name,
            JSON.parse(textOf(payload, valueStart, end)),
          ]),
        );
        expect(found).toEqual(new Map(Object.entries(value)));
        for (const { name, start, end } of members!) {
          expect(JSON.parse(`{${textOf(payload, start, end)}}`)).toHaveProperty([name]);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('keeps members that are named twice, and one called __proto__', () => {
    const members = jsonMembers(bytes('{"a":1,"a":2,"__proto__":{"a":3}}'));
    expect(members!.map((member) => member.name)).toEqual(['a', 'a', '__proto__']);
  });
});

describe('keepJsonMembers', () => {
  test.each([
    [
      '{ "a" : 1.50 , "b":[1, 2],"\\u0061":12345678901234567890 }',
      ['a'],
      '{"a" : 1.50,"\\u0061":12345678901234567890}',
    ],
    ['{"a":1}', ['b'], '{}'],
    ['{"a":1, "b":2}', ['a', 'b'], '{"a":1, "b":2}'],
    ['{}', ['a'], '{}'],
    ['{"__proto__":{"x":"}"},"a":1}', ['__proto__'], '{"__proto__":{"x":"}"}}'],
    [' [1] ', ['a'], ' [1] '],
  ])('%s with %j is %s', (text, names, expected) => {
    expect(textOf(keepJsonMembers(bytes(text), new Set(names)))).toBe(expected);
  });
});

test('wrapAsJson keeps the kind of the payload', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(JSON.parse(wrapAsJson(bytes(text)).toString())).toEqual({ __value__: text.toWellFormed() });
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array(), (tail) => {
      const payload = Buffer.from([0xff, ...tail]);
      expect(JSON.parse(wrapAsJson(payload).toString())).toEqual({
        __value__: payload.toString('base64'),
        encoding: 'base64',
      });
    }),
  );
});

test('findUtf8Error gives the first byte that does not belong', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'é', '\ufffd', '€', '😀') }),
      fc.constantFrom('', '\xff', '\xc3', '\xe2\x82', '\xed\xa0\x80'),
      (text, bad) => {
        const valid = bytes(text);
        const payload = Buffer.concat([valid, Buffer.from(bad, 'latin1'), bytes(bad === '' ? '' : 'é')]);
        expect(findUtf8Error(payload)).toBe(bad === '' ? -1 : valid.length);
      },
    ),
  );
});
