import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { compactJson } from '../../src/message/json-compact.ts';
import { prettyJson } from '../../src/message/json-pretty.ts';

test('is laid out as JSON.stringify lays it out, and differs from the message in whitespace only', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      const compact = JSON.stringify(value);
      const pretty = prettyJson(Buffer.from(compact)).toString();
      expect(pretty).toBe(JSON.stringify(value, undefined, 2));
      expect(Buffer.from(compactJson(Buffer.from(pretty))).toString()).toBe(compact);
    }),
  );
});

test('keeps the spelling of numbers and strings', () => {
  const text = ' {"a" :[1.10,1e+5 , -0],"b\\u00e4":"\\"[{","c":[ ],"d":{ }}\n';
  expect(prettyJson(Buffer.from(text)).toString()).toBe(
    '{\n  "a": [\n    1.10,\n    1e+5,\n    -0\n  ],\n  "b\\u00e4": "\\"[{",\n  "c": [],\n  "d": {}\n}',
  );
});

test('does not make a deeply nested message many times larger', () => {
  const text = `${'['.repeat(500)}${Array.from({ length: 1000 }, () => 1).join(',')}${']'.repeat(500)}`;
  expect(prettyJson(Buffer.from(text)).length).toBeLessThan(30 * text.length);
});
