import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { messageValues } from '../../src/component/message-template.ts';
import type { TemplateNames } from '../../src/component/template.ts';
import { compileMatcher, compileOutgoing, matcher, outgoing } from '../../src/websocket/messages.ts';

const names: TemplateNames = { x: 'a value' };
const sent = (message: unknown, value = 'X') => {
  const { payload, binary } = compileOutgoing(message, names)(messageValues(() => value));
  return [typeof payload === 'string' ? payload : payload.toString('latin1'), binary];
};
const matches = (pattern: unknown, payload: string | Buffer, binary = false): boolean =>
  compileMatcher(pattern)(Buffer.from(payload as string), binary);
const mistakes = (schema: z.ZodType, value: unknown): string[] =>
  (schema.safeParse(value).error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);

describe('a message to send', () => {
  test.each([
    ['plain text {{x}}', 'plain text X', false],
    ['', '', false],
    [{ base64: 'AP8=' }, '\0\xff', true],
    [{ base64: '' }, '', true],
    [
      { op: 'sub', args: ['{{x}}', 1, null, true, { deep: 'a{{x}}' }] },
      '{"op":"sub","args":["X",1,null,true,{"deep":"aX"}]}',
      false,
    ],
    [{ base64: 'AP8=', more: 1 }, '{"base64":"AP8=","more":1}', false],
    [{ base64: 7 }, '{"base64":7}', false],
    [[], '[]', false],
    [{}, '{}', false],
    [42, '42', false],
    [false, 'false', false],
  ])('%j goes out as %j', (message, payload, binary) => {
    expect(sent(message)).toEqual([payload, binary]);
  });

  test('a value cannot change the structure of JSON', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const [payload] = sent({ key: '{{x}}', other: 'a{{x}}b' }, value);
        expect(JSON.parse(payload as string)).toEqual({ key: value, other: `a${value}b` });
      }),
    );
  });

  test('names of fields are not templates, and one called __proto__ stays one', () => {
    expect(sent({ '{{x}}': '{{x}}' })).toEqual(['{"{{x}}":"X"}', false]);
    expect(sent(JSON.parse('{"__proto__":{"a":"{{x}}"}}'))).toEqual(['{"__proto__":{"a":"X"}}', false]);
  });

  test('is filled in at each call', () => {
    let count = 0;
    const make = compileOutgoing({ n: '{{x}}' }, names);
    const next = () => make(messageValues(() => String(++count))).payload;
    expect([next(), next()]).toEqual(['{"n":"1"}', '{"n":"2"}']);
  });

  test('throws when something has no value', () => {
    expect(() => compileOutgoing({ a: ['{{x}}'] }, names)(() => undefined)).toThrow('{{x}} has no value now');
  });

  test.each<[unknown, string]>([
    [undefined, ': no message'],
    [null, ': no message'],
    [{ base64: 'AP8' }, 'base64: not base64'],
    [{ base64: 'AP8=\n' }, 'base64: not base64'],
    [{ base64: '_-8=' }, 'base64: not base64'],
    [{ a: [{ b: '{{y}}' }] }, 'a.0.b: a {{…}} of an unknown name'],
    ['{{x', ': a {{ that is not closed'],
  ])('%j is a mistake', (message, mistake) => {
    expect(mistakes(outgoing(names), message).join()).toContain(mistake);
  });
});

describe('a matcher', () => {
  test.each<[unknown, string, boolean]>([
    ['pong', '{"type":"pong"}', true],
    ['pong', 'ping', false],
    ['ü', 'für', true],
    [{ regex: '^a.c$' }, 'abc', true],
    [{ regex: '^a.c$' }, 'a😀c', true],
    [{ regex: '^a.c$' }, 'abcd', false],
    [{ type: 'pong' }, '{"x":[1],"type":"pong"}', true],
    [{ type: 'pong' }, '{"type":"ping"}', false],
    [{ type: 'pong' }, '{"data":{"type":"pong"}}', false],
    [{ type: 'pong' }, 'type pong', false],
    [{ type: 'pong' }, '["type","pong"]', false],
    [{ type: 'pong' }, '{"type":"pong"', false],
    // The same value, written with escapes.
    [{ type: 'pong' }, '{"\\u0074ype":"po\\u006eg"}', true],
    [{ a: { b: [1, { c: null }] } }, '{"a":{"b":[1,{"c":null,"d":2},3]},"e":0}', true],
    [{ a: { b: [1, { c: null }] } }, '{"a":{"b":[1,{"d":2}]}}', false],
    [{ a: [] }, '{"a":{}}', false],
    [{ a: {} }, '{"a":[]}', false],
    [{ a: {} }, '{"a":null}', false],
    [{ n: 1 }, '{"n":1.0}', true],
    [{ n: 1 }, '{"n":"1"}', false],
    [{ n: true }, '{"n":true}', true],
    [7, '7', true],
    [7, '[7]', false],
    [[1], '[1,2]', true],
    [{}, '{"anything":1}', true],
    [{}, '[]', false],
    [{ toString: 1 }, '{}', false],
    [{ 'a"b': 'c\nd' }, '{"a\\"b":"c\\nd"}', true],
    [{ regex: 'x', flags: 'i' }, '{"regex":"x","flags":"i"}', true],
  ])('%j with %s: %s', (pattern, payload, expected) => {
    expect(matches(pattern, payload)).toBe(expected);
  });

  test('a matcher finds nothing in a binary message or one longer than 64 KiB, and bytes that are not UTF-8 do no harm', () => {
    expect(matches('a', 'a', true)).toBe(false);
    expect(matches('a', 'a'.repeat(64 * 1024))).toBe(true);
    expect(matches('a', 'a'.repeat(64 * 1024 + 1))).toBe(false);
    expect(matches({ a: 1 }, Buffer.from([0x7b, 0xff, 0x5c]))).toBe(false);
  });

  test('a JSON value matches itself, and itself among more', () => {
    const json = fc.jsonValue({ maxDepth: 3 }).filter((value) => value !== null && typeof value !== 'string');
    fc.assert(
      fc.property(json, fc.string(), (value, key) => {
        const regexAlone = JSON.stringify(value)?.startsWith('{"regex":"') ?? false;
        fc.pre(!regexAlone);
        expect(matches(value, JSON.stringify(value))).toBe(true);
        expect(matches({ [`k${key}`]: value }, JSON.stringify({ a: 0, [`k${key}`]: value, z: 0 }))).toBe(
          true,
        );
      }),
    );
  });

  test.each<[unknown, string]>([
    [undefined, ': nothing to match'],
    [null, ': nothing to match'],
    ['', ': nothing to match'],
    [{ regex: '(' }, 'regex: not a regular expression'],
    [{ regex: '\\q' }, 'regex: not a regular expression'],
  ])('%j is a mistake', (pattern, mistake) => {
    expect(mistakes(matcher({}), pattern).join()).toContain(mistake);
  });
});
