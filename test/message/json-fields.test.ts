import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_PATH_STEPS, pathKey, pathText, type Path, type PathStep } from '../../src/message/field-path.ts';
import { FieldScanner, scanFindings, WHOLE_VALUE } from '../../src/message/json-fields.ts';
import { fieldKinds, valueFlags } from '../../src/message/json-kinds.ts';
import { parseJsonPath } from '../../src/message/json-path.ts';
import { MAX_JSON_DEPTH, findJsonError } from '../../src/message/json-validate.ts';

const { NULL, BOOL, INT, LONG, BIGINT, HUGE, FLOAT, STRING, OBJECT, ARRAY } = fieldKinds;
const { NEW_FIELD, DUPLICATE, NOT_OBJECT, LONE_SURROGATE, OUT_OF_RANGE } = scanFindings;
const bytes = (text: string): Buffer => Buffer.from(text);

/** A name with every character escaped. */
const unicode = (text: string): string =>
  `"${Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`;

/** The news of the last message, by name or path. */
function newsOf(scanner: FieldScanner): Map<string, number> {
  return new Map(Array.from(scanner.news, ({ path, kinds }) => [pathKey(path), kinds]));
}

/** Allows every field. */
function learn(scanner: FieldScanner, text: string): void {
  scanner.scan(bytes(text));
  for (const { path, kinds } of scanner.news) scanner.allow(path, kinds);
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
  ['1234567890123456789', LONG],
  ['9223372036854775807', LONG],
  ['9223372036854775808', BIGINT],
  ['-9223372036854775808', LONG],
  ['-9223372036854775809', BIGINT],
  ['10000000000000000000', BIGINT],
  [`-${'9'.repeat(38)}`, BIGINT],
  ['170141183460469231731687303715884105727', BIGINT],
  ['170141183460469231731687303715884105728', HUGE],
  ['-170141183460469231731687303715884105728', BIGINT],
  ['-170141183460469231731687303715884105729', HUGE],
  ['9'.repeat(39), HUGE],
  ['1.5', FLOAT],
  ['-1e3', FLOAT],
  ['1E-2', FLOAT],
  ['0.1e+300', FLOAT],
  ['""', STRING],
  ['"a\\"}{][,:\\\\"', STRING],
  ['"1"', STRING],
  ['{}', OBJECT],
  ['[]', ARRAY],
  ['{"a":{"b":["}",{"x":"\\"]"}]}}', OBJECT],
  ['[[1,2],{"__proto__":null}, "\\\\"]', ARRAY],
];

test.each(values)('the kind of %s', (text, kind) => {
  for (const message of [`{"a":${text}}`, ` { "a" : ${text} , "b":1 } `]) {
    const scanner = new FieldScanner();
    scanner.allow(['b'], INT);
    expect(scanner.scan(bytes(message))).toBe(NEW_FIELD);
    expect([...newsOf(scanner)]).toEqual([['a', kind]]);
    scanner.allow(['a'], kind);
    expect(scanner.scan(bytes(message))).toBe(0);
    expect(newsOf(scanner).size).toBe(0);
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
        const scanner = new FieldScanner({ matters });
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
          expect(newsOf(scanner)).toEqual(news);
          expect(found).toBe((news.size > 0 ? NEW_FIELD : 0) | (duplicates ? DUPLICATE : 0));
          expect(scanner.duplicate !== undefined).toBe(duplicates);
          if (!learns) continue;
          for (const [key, kinds] of news) {
            scanner.allow([key], kinds);
            allowed.set(key, (allowed.get(key) ?? 0) | kinds);
          }
        }
        expect(scanner.fields.map((field) => [field.path[0], field.mask])).toEqual([...allowed]);
        for (const [key, kinds] of allowed) expect(scanner.knows([key])).toBe(kinds);
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
    expect(scanner.knows(['a'])).toBe(0);
    expect(scanner.fields).toEqual([]);
  });

  test('names the field that a message has twice', () => {
    const scanner = new FieldScanner();
    expect(scanner.scan(bytes('{"a":1,"b":2,"\\u0061":1}'))).toBe(NEW_FIELD | DUPLICATE);
    expect(scanner.duplicate).toEqual(['a']);
    learn(scanner, '{"a":1,"b":2}');
    expect(scanner.scan(bytes('{"a":1,"b":2,"\\u0061":1}'))).toBe(DUPLICATE);
    expect(scanner.duplicate).toEqual(['a']);
    expect(scanner.scan(bytes('{"a":1,"b":2}'))).toBe(0);
    expect(scanner.duplicate).toBeUndefined();
  });

  test('tells names apart by case', () => {
    const scanner = new FieldScanner();
    learn(scanner, '{"Ab":1}');
    expect(scanner.scan(bytes('{"ab":1}'))).toBe(NEW_FIELD);
    expect([...newsOf(scanner).keys()]).toEqual(['ab']);
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
    for (const kind of Object.values(fieldKinds)) scanner.allow(['a'], kind);
    scanner.allow(['\udbff'], INT);
    expect(scanner.scan(bytes(text))).toBe(expected);
    let lone = false;
    JSON.parse(text, (key: string, value: unknown) => {
      if (!key.isWellFormed() || (typeof value === 'string' && !value.isWellFormed())) lone = true;
      return value;
    });
    expect(lone).toBe((expected & LONE_SURROGATE) !== 0);
  });

  test('is right with more names that do not matter than it remembers', () => {
    const scanner = new FieldScanner({ matters: (each) => each === 'a' });
    scanner.allow(['a'], INT);
    const names = Array.from({ length: 3000 }, (_, index) => `"n${index}":"x",`).join('');
    for (let round = 0; round < 3; round++) {
      expect(scanner.scan(bytes(`{${names}${names}"a":1}`))).toBe(0);
      expect(scanner.scan(bytes(`{${names}"a":"x"}`))).toBe(NEW_FIELD);
      expect([...newsOf(scanner)]).toEqual([['a', STRING]]);
    }
    expect(scanner.fields.length).toBe(1);
  });
});

describe('a scanner counts and forgets', () => {
  test('messages that had a field with an allowed value, and the last of them', () => {
    const scanner = new FieldScanner();
    scanner.allow(['a'], INT | NULL);
    for (const text of ['{"a":1}', '{"a":null}', '{"b":1}', '{"a":2}', '{"a":"x"}', '[]'])
      scanner.scan(bytes(text));
    expect(scanner.takeCount(['a'])).toBe(2);
    expect(scanner.takeCount(['a'])).toBe(0);
    expect(scanner.lastWith(['a'])).toBe(5);
    expect(scanner.messages).toBe(6);
    scanner.count(['a']);
    expect([scanner.takeCount(['a']), scanner.lastWith(['a'])]).toEqual([1, 6]);
    expect([scanner.takeCount(['b']), scanner.lastWith(['b'])]).toEqual([0, 0]);
  });

  test('a field that is forgotten is new again, wherever it stands', () => {
    const scanner = new FieldScanner();
    const message = '{"a":1,"b":2,"c":3}';
    learn(scanner, message);
    expect([scanner.scan(bytes(message)), scanner.scan(bytes(message))]).toEqual([0, 0]);
    scanner.forget(['b']);
    scanner.forget(['unknown']);
    for (let round = 0; round < 2; round++) {
      expect(scanner.scan(bytes(message))).toBe(NEW_FIELD);
      expect([...newsOf(scanner)]).toEqual([['b', INT]]);
    }
    expect(scanner.knows(['b'])).toBe(0);
    scanner.allow(['b'], STRING);
    scanner.scan(bytes(message));
    expect([...newsOf(scanner)]).toEqual([['b', INT]]);
    expect(scanner.scan(bytes('{"a":1,"b":"x","b":"y"}'))).toBe(DUPLICATE);
  });
});

/** A value as text, and the values that it is made of. */
interface Written {
  readonly text: string;
  readonly kind: number;
  readonly members?: readonly { readonly name: string; readonly value: Written }[];
  readonly items?: readonly Written[];
}

const names = ['a', 'b', 'B', '__proto__', 'a"b', '0', 'é'];
const gap = fc.constantFrom('', '', '', ' ', '\r\n\t');
const { value: anyValue } = fc.letrec<{ value: Written }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc
      .constantFrom(...values.filter(([, kind]) => (kind & fieldKinds.NESTED) === 0))
      .map(([text, kind]) => ({ text, kind })),
    fc
      .uniqueArray(fc.tuple(fc.constantFrom(...names), fc.boolean(), tie('value'), gap, gap), {
        maxLength: 4,
        selector: ([name]) => name,
      })
      .map((members) => ({
        text: `{${members
          .map(
            ([name, escape, { text }, a, b]) =>
              `${a}${escape ? unicode(name) : JSON.stringify(name)}${b}:${a}${text}${b}`,
          )
          .join(',')}}`,
        kind: OBJECT,
        members: members.map(([name, , value]) => ({ name, value })),
      })),
    fc.tuple(fc.array(tie('value'), { maxLength: 4 }), gap, gap).map(([items, a, b]) => ({
      text: `[${a}${items.map(({ text }) => text).join(`${a},${b}`)}${b}]`,
      kind: ARRAY,
      items,
    })),
  ),
}));
const anyMessage = anyValue.filter(({ members }) => members !== undefined);
const anyPath = fc
  .tuple(
    fc.constantFrom(...names),
    fc.array(fc.constantFrom<PathStep>(...names, 0, 1, 2, 3), { maxLength: 3 }),
  )
  .map(([name, steps]): Path => [name, ...steps]);

function valueAt(value: Written | undefined, path: readonly PathStep[]): Written | undefined {
  return path.reduce<Written | undefined>(
    (at, step) =>
      typeof step === 'number' ? at?.items?.[step] : at?.members?.find(({ name }) => name === step)?.value,
    value,
  );
}

describe('paths', () => {
  test('lead to values inside fields, wherever they stand, over a whole stream', () => {
    const stream = fc.array(anyMessage, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(stream, fc.uniqueArray(anyPath, { maxLength: 5, selector: pathKey }), (messages, paths) => {
        const top = new Set(paths.filter((path) => path.length === 1).map(([name]) => name));
        const scanner = new FieldScanner({
          matters: (name) => top.has(name),
          paths: paths.filter((path) => path.length > 1),
        });
        const allowed = new Map<string, number>();
        for (const message of messages) {
          const payload = bytes(message.text);
          expect(findJsonError(payload)).toBe(-1);
          const expected = new Map<string, number>();
          for (const path of paths) {
            const found = valueAt(message, path);
            if (found !== undefined && ((allowed.get(pathKey(path)) ?? 0) & found.kind) === 0)
              expected.set(pathKey(path), found.kind);
          }
          const found = scanner.scan(payload);
          expect(newsOf(scanner)).toEqual(expected);
          expect(found).toBe(expected.size > 0 ? NEW_FIELD : 0);
          for (const { path, kinds } of scanner.news) {
            scanner.allow(path, kinds);
            allowed.set(pathKey(path), scanner.knows(path));
          }
        }
        const slices = scanner.begin(messages.length);
        for (const [index, { text }] of messages.entries()) expect(scanner.scan(bytes(text), index)).toBe(0);
        for (const path of paths) {
          const { kinds, starts, ends } = slices.of(path) ?? { kinds: [], starts: [], ends: [] };
          for (const [index, message] of messages.entries()) {
            const found = valueAt(message, path);
            expect((kinds[index] ?? 0) & 1023).toBe(found?.kind ?? 0);
            if (found !== undefined)
              expect(bytes(message.text).subarray(starts[index], ends[index]).toString()).toBe(found.text);
          }
        }
      }),
      { numRuns: 400 },
    );
  });

  test('stand for other spellings of their names, which are told apart', () => {
    const scanner = new FieldScanner({
      matters: () => false,
      paths: [['D', 'n']],
      fold: (name) => name.toLowerCase(),
    });
    expect(scanner.scan(bytes('{"d":{"N":1,"n":"x","m":2},"D":5}'))).toBe(NEW_FIELD);
    expect([...newsOf(scanner)]).toEqual([
      [pathKey(['d', 'N']), INT],
      [pathKey(['d', 'n']), STRING],
    ]);
    scanner.allow(['d', 'N'], INT);
    expect(scanner.scan(bytes('{"d":{"N":1}}'))).toBe(0);
    scanner.forget(['d', 'N']);
    expect(scanner.scan(bytes('{"d":{"N":1}}'))).toBe(NEW_FIELD);
  });

  test('may lead into a value that is read as a whole', () => {
    const scanner = new FieldScanner({ matters: (name) => name === 'd', paths: [['d', 'n']] });
    learn(scanner, '{"d":{"n":1}}');
    const slices = scanner.begin(2);
    expect(scanner.scan(bytes('{"d": {"n":2, "m":"\\n"} }'), 0)).toBe(0);
    expect(scanner.scan(bytes('{"d":{"m":"\\ud800"}}'), 1)).toBe(LONE_SURROGATE);
    expect([...slices.of(['d'])!.kinds]).toEqual([
      OBJECT | valueFlags.ESCAPED,
      OBJECT | valueFlags.ESCAPED | valueFlags.LONE_HALF,
    ]);
    expect([...slices.of(['d', 'n'])!.kinds]).toEqual([INT, 0]);
    scanner.forget(['d']);
    expect(scanner.scan(bytes('{"d":{"n":3}}'))).toBe(NEW_FIELD);
    expect([...newsOf(scanner)]).toEqual([['d', OBJECT]]);
    expect(scanner.takeCount(['d', 'n'])).toBe(2);
  });

  test('that are too long are refused, and none is too deep for the stack', () => {
    const deep = (length: number): Path => ['a', ...Array.from({ length: length - 1 }, () => 'a')];
    expect(() => new FieldScanner({ paths: [deep(MAX_PATH_STEPS + 1)] })).toThrow(RangeError);
    expect(() => new FieldScanner().allow(deep(MAX_PATH_STEPS + 1), INT)).toThrow(RangeError);
    const scanner = new FieldScanner({ matters: () => false, paths: [deep(MAX_PATH_STEPS)] });
    const levels = MAX_JSON_DEPTH - 1;
    const payload = bytes(`${'{"a":'.repeat(levels)}[]${'}'.repeat(levels)}`);
    expect(findJsonError(payload)).toBe(-1);
    scanner.scan(payload);
    expect([...newsOf(scanner)]).toEqual([[pathKey(deep(MAX_PATH_STEPS)), OBJECT]]);
  });

  test('are found behind more names than a scanner remembers', () => {
    const scanner = new FieldScanner({
      matters: () => false,
      paths: [['wanted', 'x']],
      fold: (name) => name.toLowerCase(),
    });
    const spellings = Array.from({ length: 2000 }, (_, index) =>
      Array.from('wantedwanted', (letter, at) => ((index >> at) & 1 ? letter.toUpperCase() : letter)).join(
        '',
      ),
    );
    scanner.scan(bytes(`{${spellings.map((name) => `"${name}":{"x":1}`).join(',')}}`));
    for (let round = 0; round < 2; round++) {
      expect(scanner.scan(bytes('{"wantedwanted":{"x":1},"WANTED":{"y":1},"Wanted":{"x":1}}'))).toBe(
        NEW_FIELD,
      );
      expect([...newsOf(scanner)]).toEqual([[pathKey(['Wanted', 'x']), INT]]);
    }
  });

  test.each<[Path, string]>([
    [['a.b'], 'a.b'],
    [['a', 'b', 0, 'x.y'], 'a.b[0]["x.y"]'],
    [['a.b', 'c'], '["a.b"].c'],
    [['a', '', '"'], 'a[""]["\\""]'],
  ])('%j is written %s', (path, text) => {
    expect(pathText(path)).toBe(text);
    if (path.length > 1) expect(parseJsonPath(text)!.map(({ name }) => name)).toEqual(path.map(String));
  });

  test('have keys that no name has', () => {
    expect(pathKey(['a'])).toBe('a');
    expect(pathKey([pathKey(['a', 'b'])])).not.toBe(pathKey(['a', 'b']));
  });
});

describe('slices', () => {
  test('of a batch stay as they are when another one is scanned', () => {
    const scanner = new FieldScanner();
    learn(scanner, '{"a":1}');
    const first = scanner.begin(1);
    scanner.scan(bytes('{"a":1}'));
    const second = scanner.begin(2);
    scanner.forget(['a']);
    scanner.allow(['a'], INT);
    scanner.scan(bytes('{ "a":12}'), 1);
    expect([...first.of(['a'])!.starts]).toEqual([5]);
    expect([...second.of(['a'])!.kinds]).toEqual([0, INT]);
    expect([...second.of(['a'])!.ends]).toEqual([0, 8]);
    expect(second.of(['b'])).toBeUndefined();
  });

  test.each(['1', '"a"', '[{"a":1}]', ' null', 'true', '{}'])('of a message that is %s', (text) => {
    const scanner = new FieldScanner();
    scanner.allow(WHOLE_VALUE, fieldKinds.NESTED);
    const slices = scanner.begin(1);
    scanner.scan(bytes(` ${text}\n`));
    const found = slices.of(WHOLE_VALUE);
    if (text === '{}') expect(found).toBeUndefined();
    else expect(` ${text}\n`.slice(found!.starts[0], found!.ends[0])).toBe(text.trim());
  });

  test.each([
    ['1e308', 0],
    ['1e309', OUT_OF_RANGE],
    ['-1E+400', OUT_OF_RANGE],
    ['0.000e999', 0],
    ['1e-400', 0],
    ['9'.repeat(308), 0],
    ['9'.repeat(309), OUT_OF_RANGE],
    [`-${'9'.repeat(309)}.5`, OUT_OF_RANGE],
    [`0.${'9'.repeat(400)}`, 0],
  ])('tell that %s is beyond a double, or not', (text, finding) => {
    const scanner = new FieldScanner({ matters: (name) => name === 'a' });
    scanner.allow(['a'], HUGE | FLOAT);
    const slices = scanner.begin(1);
    expect(scanner.scan(bytes(`{"a":${text},"b":1e999}`))).toBe(finding);
    expect((slices.of(['a'])!.kinds[0]! & valueFlags.TOO_LARGE) !== 0).toBe(finding !== 0);
    expect(Number.isFinite(Number(text))).toBe(finding === 0);
  });
});

test('a duplicate name and half a surrogate pair count only where the value is read', () => {
  const scanner = new FieldScanner({ matters: (name) => name === 'a', paths: [['d', 'n']] });
  scanner.allow(['a'], STRING);
  scanner.allow(['d', 'n'], STRING);
  for (const text of [
    '{"a":"x","b":"\\ud800","b":1}',
    '{"a":"x","\\ud800":1,"d":{"m":"\\ud800","m":1,"\\udc00":1}}',
    '{"d":{"n":"x"},"e":{"n":1,"n":2}}',
  ])
    expect(scanner.scan(bytes(text))).toBe(0);
  expect(scanner.scan(bytes('{"d":{"n":"\\ud800"}}'))).toBe(LONE_SURROGATE);
  expect(scanner.scan(bytes('{"d":{"n":"x","n":"y"}}'))).toBe(DUPLICATE);
  expect(scanner.duplicate).toEqual(['d', 'n']);
  expect(scanner.scan(bytes('{"d":{"n":"x"},"d":1}'))).toBe(DUPLICATE);
  expect(scanner.duplicate).toEqual(['d']);
});
