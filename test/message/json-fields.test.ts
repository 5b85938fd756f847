import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FieldScanner, fieldKinds, scanFindings } from '../../src/message/json-fields.ts';
import { findJsonError } from '../../src/message/json-validate.ts';

const { NULL, BOOL, INT, LONG, BIGINT, HUGE, FLOAT, STRING, NESTED } = fieldKinds;
const { NEW_FIELD, DUPLICATE, NOT_OBJECT, LONE_SURROGATE } = scanFindings;
const bytes = (text: string): Buffer => Buffer.from(text);

/** A name with every character escaped. */
const unicode = (text: string): string =>
  `"${Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`;

/** Allows every field. */
function learn(scanner: FieldScanner, text: string): void {
  scanner.scan(bytes(text));
  for (const [name, kinds] of scanner.news) scanner.allow(name, kinds);
}

const values: readonly (readonly [string, number])[] = [
  ['null', NULL],
  ['true', BOOL],
  ['false', BOOL],
  ['0', INT],
  ['-1', INT],
  ['123456789012345', INT],
  ['-123456789012345', INT],
  ['1234567890123456', LONG],
  ['-123456789012345678', LONG],
  ['1234567890123456789', BIGINT],
  [`-${'9'.repeat(38)}`, BIGINT],
  ['9'.repeat(39), HUGE],
  ['1.5', FLOAT],
  ['-1e3', FLOAT],
  ['1E-2', FLOAT],
  ['0.1e+400', FLOAT],
  ['""', STRING],
  ['"a\\"}{][,:\\\\"', STRING],
  ['"1"', STRING],
  ['{}', NESTED],
  ['[]', NESTED],
  ['{"a":{"b":["}",{"x":"\\"]"}]}}', NESTED],
  ['[[1,2],{"__proto__":null}, "\\\\"]', NESTED],
];

test.each(values)('the kind of %s', (text, kind) => {
  for (const message of [`{"a":${text}}`, ` { "a" : ${text} , "b":1 } `]) {
    const scanner = new FieldScanner();
    scanner.allow('b', INT);
    expect(scanner.scan(bytes(message))).toBe(NEW_FIELD);
    expect([...scanner.news]).toEqual([['a', kind]]);
    scanner.allow('a', kind);
    expect(scanner.scan(bytes(message))).toBe(0);
    expect(scanner.news.size).toBe(0);
  }
});

describe('FieldScanner', () => {
  const space = fc.constantFrom('', '', ' ', '\n ');
  const name = fc.constantFrom(
    'a',
    'ab',
    'A',
    '',
    '__proto__',
    'constructor',
    'a"b',
    'a\\b',
    'a\bb',
    'é',
    '😀',
    'n\n',
  );
  const member = fc.record({
    name,
    escape: fc.boolean(),
    value: fc.constantFrom(...values),
    spaces: fc.tuple(space, space, space, space),
  });
  const message = fc.array(member, { maxLength: 6 });

  test('finds the fields that a parser finds, over a whole stream', () => {
    const stream = fc.array(fc.record({ members: message, learn: fc.boolean() }), { maxLength: 20 });
    fc.assert(
      fc.property(stream, fc.boolean(), (messages, filtered) => {
        const matters = (each: string): boolean => !filtered || each.includes('a');
        const scanner = new FieldScanner(matters);
        const allowed = new Map<string, number>();
        for (const { members, learn: learns } of messages) {
          const text = `{${members
            .map(({ name: key, escape, value, spaces: [a, b, c, d] }) => {
              return `${a}${escape ? unicode(key) : JSON.stringify(key)}${b}:${c}${value[0]}${d}`;
            })
            .join(',')}}`;
          const payload = bytes(text);
          expect(findJsonError(payload)).toBe(-1);

          const relevant = members.filter((each) => matters(each.name));
          const news = new Map<string, number>();
          for (const each of relevant) {
            const kind = each.value[1];
            if (((allowed.get(each.name) ?? 0) & kind) !== 0) continue;
            news.set(each.name, (news.get(each.name) ?? 0) | kind);
          }
          const duplicates = relevant.length > new Set(relevant.map((each) => each.name)).size;

          const found = scanner.scan(payload);
          expect(new Map(scanner.news)).toEqual(news);
          expect(found).toBe((news.size > 0 ? NEW_FIELD : 0) | (duplicates ? DUPLICATE : 0));
          expect(scanner.duplicate !== undefined).toBe(duplicates);
          if (!learns) continue;
          for (const [key, kinds] of news) {
            scanner.allow(key, kinds);
            allowed.set(key, (allowed.get(key) ?? 0) | kinds);
          }
        }
        expect(scanner.fields.map((field) => [field.name, field.mask])).toEqual([...allowed]);
        for (const [key, kinds] of allowed) expect(scanner.knows(key)).toBe(kinds);
      }),
      { numRuns: 2000 },
    );
  });

  test.each(['1', '"a"', '[{"a":1}]', ' null', 'true'])('%s is not an object', (text) => {
    expect(new FieldScanner().scan(bytes(text))).toBe(NOT_OBJECT);
  });

  test('learns only the fields that it may', () => {
    const scanner = new FieldScanner();
    for (let round = 0; round < 3; round++) expect(scanner.scan(bytes('{"a":1}'))).toBe(NEW_FIELD);
    expect(scanner.knows('a')).toBe(0);
    expect(scanner.fields).toEqual([]);
  });

  test('names the field that a message has twice', () => {
    const scanner = new FieldScanner();
    expect(scanner.scan(bytes('{"a":1,"b":2,"\\u0061":1}'))).toBe(NEW_FIELD | DUPLICATE);
    expect(scanner.duplicate).toBe('a');
    learn(scanner, '{"a":1,"b":2}');
    expect(scanner.scan(bytes('{"a":1,"b":2,"\\u0061":1}'))).toBe(DUPLICATE);
    expect(scanner.duplicate).toBe('a');
    expect(scanner.scan(bytes('{"a":1,"b":2}'))).toBe(0);
    expect(scanner.duplicate).toBeUndefined();
  });

  test('tells names apart by case', () => {
    const scanner = new FieldScanner();
    learn(scanner, '{"Ab":1}');
    expect(scanner.scan(bytes('{"ab":1}'))).toBe(NEW_FIELD);
    expect([...scanner.news.keys()]).toEqual(['ab']);
  });

  test.each([
    ['{"a":"\\ud83d\\ude00"}', 0],
    ['{"a":"\\uD83D\\uDE00\\uD83D\\uDE00"}', 0],
    ['{"a":"\\\\ud83d"}', 0],
    ['{"a":"\\u0d83\\ud7ff\\ue000"}', 0],
    ['{"a":"\\ud83d"}', LONE_SURROGATE],
    ['{"a":"\\ude00"}', LONE_SURROGATE],
    ['{"a":"\\ude00\\ud83d"}', LONE_SURROGATE],
    ['{"a":"\\ud83d\\ud83d\\ude00"}', LONE_SURROGATE],
    ['{"a":"\\ud83d\\\\ude00"}', LONE_SURROGATE],
    ['{"a":"\\ud83dx\\ude00"}', LONE_SURROGATE],
    ['{"a":[{"b":"\\udbff"}]}', LONE_SURROGATE],
    ['{"a":{"\\udbff":1}}', LONE_SURROGATE],
    ['{"a":1,"\\udbff":1}', LONE_SURROGATE],
    ['["\\ud83d"]', NOT_OBJECT | LONE_SURROGATE],
    ['"\\ud83d\\ude00"', NOT_OBJECT],
  ])('%s: surrogates', (text, expected) => {
    const scanner = new FieldScanner();
    for (const kind of Object.values(fieldKinds)) scanner.allow('a', kind);
    scanner.allow('\udbff', INT);
    expect(scanner.scan(bytes(text))).toBe(expected);
    let lone = false;
    JSON.parse(text, (key: string, value: unknown) => {
      if (!key.isWellFormed() || (typeof value === 'string' && !value.isWellFormed())) lone = true;
      return value;
    });
    expect(lone).toBe((expected & LONE_SURROGATE) !== 0);
  });

  test('is right with more names that do not matter than it remembers', () => {
    const scanner = new FieldScanner((each) => each === 'a');
    scanner.allow('a', INT);
    const names = Array.from({ length: 3000 }, (_, index) => `"n${index}":"x",`).join('');
    for (let round = 0; round < 3; round++) {
      expect(scanner.scan(bytes(`{${names}${names}"a":1}`))).toBe(0);
      expect(scanner.scan(bytes(`{${names}"a":"x"}`))).toBe(NEW_FIELD);
      expect([...scanner.news]).toEqual([['a', STRING]]);
    }
    expect(scanner.fields.length).toBe(1);
  });
});

describe('a scanner counts and forgets', () => {
  test('messages that had a field with an allowed value, and the last of them', () => {
    const scanner = new FieldScanner();
    scanner.allow('a', INT | NULL);
    for (const text of ['{"a":1}', '{"a":null}', '{"b":1}', '{"a":2}', '{"a":"x"}', '[]'])
      scanner.scan(bytes(text));
    expect(scanner.takeCount('a')).toBe(2);
    expect(scanner.takeCount('a')).toBe(0);
    expect(scanner.lastWith('a')).toBe(5);
    expect(scanner.messages).toBe(6);
    scanner.count('a');
    expect([scanner.takeCount('a'), scanner.lastWith('a')]).toEqual([1, 6]);
    expect([scanner.takeCount('b'), scanner.lastWith('b')]).toEqual([0, 0]);
  });

  test('a field that is forgotten is new again, wherever it stands', () => {
    const scanner = new FieldScanner();
    const message = '{"a":1,"b":2,"c":3}';
    learn(scanner, message);
    expect([scanner.scan(bytes(message)), scanner.scan(bytes(message))]).toEqual([0, 0]);
    scanner.forget('b');
    scanner.forget('unknown');
    for (let round = 0; round < 2; round++) {
      expect(scanner.scan(bytes(message))).toBe(NEW_FIELD);
      expect([...scanner.news]).toEqual([['b', INT]]);
    }
    expect(scanner.knows('b')).toBe(0);
    scanner.allow('b', STRING);
    scanner.scan(bytes(message));
    expect([...scanner.news]).toEqual([['b', INT]]);
    expect(scanner.scan(bytes('{"a":1,"b":"x","b":"y"}'))).toBe(DUPLICATE);
  });
});
