import { expect, test } from 'vitest';
import { jsonPath, parseJsonPath, textAt, tokenAt } from '../../src/message/json-path.ts';

const at = (json: string | Uint8Array, path: string): string | undefined =>
  textAt(Buffer.from(json as string), parseJsonPath(path)!);

test.each([
  ['{"id":7}', 'id', '7'],
  ['{"id":7}', '$.id', '7'],
  ['{"id":7}', '.id', '7'],
  [' { "id" : "x" , "b":1 } ', 'id', 'x'],
  ['{"a":{"id":1},"id":2}', 'id', '2'],
  ['{"a":"\\"id\\":9}","id":2}', 'id', '2'],
  ['{"data":{"items":[{"id":1},{"id":[2,3]}]}}', 'data.items[1].id[1]', '3'],
  ['{"data":{"a.b":true}}', '$.data["a.b"]', 'true'],
  ['{"a\\"b":false}', '["a\\"b"]', 'false'],
  ['[[],[1,{"x":null}],"y"]', '[2]', 'y'],
  ['{"$id":"dollar"}', '$id', 'dollar'],
  ['{"\\u0069d":"escaped name"}', 'id', 'escaped name'],
  ['{"größe":1.50}', 'größe', '1.50'],
  ['{"id":"a\\u00e9\\n\\ud83d\\ude00"}', 'id', 'aé\n😀'],
  ['{"id":12345678901234567890123}', 'id', '12345678901234567890123'],
  ['{"id":-1.0e+5}', 'id', '-1.0e+5'],
  ['{"id":1,"id":2}', 'id', '2'],
  ['{"items":["a","b"]}', 'items.1', 'b'],
  ['{"0":"zero"}', '[0]', 'zero'],
  ['{"__proto__":"p"}', '__proto__', 'p'],
])('%s at %s is %s', (json, path, text) => {
  expect(at(json, path)).toBe(text);
});

test.each([
  ['{"id":null}', 'id'],
  ['{"id":{}}', 'id'],
  ['{"id":[1]}', 'id'],
  ['{"ID":1}', 'id'],
  ['{}', 'id'],
  ['[]', '[0]'],
  ['[1,2]', '[2]'],
  ['[1,2]', 'length'],
  ['{"a":1}', 'a.b'],
  ['"text"', 'length'],
  ['{"a":1}', 'toString'],
  // Not one JSON value: a message that a codec refuses must not stand for one that it takes.
  ['{"id":1', 'id'],
  ['{"id":1}}', 'id'],
  ['{"id":1} {"id":2}', 'id'],
  ['{"id":1,}', 'id'],
  ['', 'id'],
])('%s has no value at %s', (json, path) => {
  expect(at(json, path)).toBeUndefined();
});

test('a message that is not UTF-8 has nothing', () => {
  expect(at(Buffer.from([...Buffer.from('{"id":"'), 0xff, ...Buffer.from('"}')]), 'id')).toBeUndefined();
});

test('it finds the value that JSON.parse finds, whatever the whitespace and nesting', () => {
  const values = ['x', 'a"b\\c', '', 'ü😀', 'true'];
  for (const value of values) {
    const object = { pad: [{ id: 'no', deep: [[['}{][', 1e-3]]] }], rest: null, id: value, last: { id: 1 } };
    for (const space of [undefined, 1, '\t', '\r\n  ']) {
      expect(at(JSON.stringify(object, null, space), 'id')).toBe(value);
      expect(at(JSON.stringify([0, object], null, space), '[1].id')).toBe(value);
    }
  }
});

test.each(['', '$', '.', 'a.', 'a..b', 'a[', 'a[x]', 'a[0', 'a]', 'a[0]b', '["x', '["\\x"]', 'a"b'])(
  '%j is not a path, and the mistake shows a correct one',
  (text) => {
    expect(parseJsonPath(text)).toBeUndefined();
    expect(jsonPath.safeParse(text).error?.issues[0]?.message).toBe(
      'not a path; expected one like id, data.id or items[0].id',
    );
  },
);

test('a token is the text of the message, a string with its quotes and escapes', () => {
  const token = (text: string): string | undefined => tokenAt(Buffer.from(text), parseJsonPath('a')!);
  expect(token(String.raw`{"a": "x\"\u00fc" }`)).toBe(String.raw`"x\"\u00fc"`);
  expect(token('{"a":1.50e3}')).toBe('1.50e3');
  expect(token('{"a":false}')).toBe('false');
  for (const none of ['{"a":null}', '{"a":[1]}', '{"a":{}}', '{"b":1}', '{"a":1', '1']) {
    expect(token(none)).toBeUndefined();
  }
});
