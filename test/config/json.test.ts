import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { readJson } from '../../src/config/json.ts';
import { configFiles } from '../support/config.ts';

const { load, problems } = configFiles();

test('mistakes have the places of the text', async () => {
  const text = `{
  "logging": { "level": 5 },
  "streams": [
    { "input": { "type": "generate", "contxt": "a" },
      "output": { "type": "stdout", "pretty": "yes" } },
    { "input": { "type": "websocket", "url": "ws://x",
                 "tls": { "insecure": null } } }
  ]
}`;
  expect(await problems('a.json', text)).toEqual([
    'json:2:25: logging.level: 5 is a number; expected "trace", "debug", "info", "warn", "error", "fatal" or "silent"',
    'json:4:7: streams[0].input.context: is missing; expected a string',
    'json:4:38: streams[0].input.contxt: unknown field; did you mean context?',
    'json:5:47: streams[0].output.pretty: "yes" is a string; expected true or false',
    'json:7:39: streams[1].input.tls.insecure: is empty; expected true or false',
  ]);
});

test('YAML that is not JSON is refused, every mistake at once', async () => {
  const text = `{
  // a comment
  "a": 'single',
  b: 1,
  "c": [1, 2,],
  "d": "x\\q",
  "e": nope
  "f": 01,
  "g": .5,
}`;
  expect(await problems('a.json', text)).toEqual([
    'json:2:3: not valid JSON: a comment; JSON has none (a .yaml file may have comments)',
    'json:3:8: not valid JSON: text in single quotes; expected double quotes',
    'json:4:3: not valid JSON: a name without double quotes; expected them around it',
    'json:5:13: not valid JSON: a comma after the last item; expected none',
    'json:6:8: not valid JSON: text with an escape or a control character that JSON does not have',
    'json:7:8: not valid JSON: this is not JSON; expected text in double quotes',
    'json:8:3: not valid JSON: no comma between two items; expected one',
    'json:9:8: not valid JSON: this is not JSON; expected text in double quotes',
  ]);
});

test.each([
  ['', 'json:1:1: not valid JSON: the file is empty; expected an object or a list'],
  ['{"a": 1', 'json:1:1: not valid JSON: this is never closed; expected a }'],
  ['{"a": [1}', 'json:1:9: not valid JSON: this does not match the opening bracket; expected a ]'],
  ['{"a" 1}', 'json:1:6: not valid JSON: no colon after a name; expected one'],
  ['[] []', 'json:1:4: not valid JSON: there is more after the end; expected one value'],
  ['{"a": "x\ny"}', 'json:1:7: not valid JSON: text that does not end on its line; expected a double quote'],
])('%j is refused', async (text, problem) => {
  expect((await problems('a.json', text))[0]).toBe(problem);
});

test('a name given twice is a mistake, also when it is written in another way', async () => {
  const text = '[{"input": {"type": "generate", "context": "a", "\\u0063ontext": 5}}]';
  expect(await problems('a.json', text)).toEqual([
    'json:1:49: [0].input.context: is given a second time (first on line 1); expected each field once',
  ]);
});

test('a byte order mark is not part of the text', async () => {
  const plan = await load('a.json', '\uFEFF[{"input": {"type": "generate", "context": "a"}}]');
  expect(plan.streams).toHaveLength(1);
});

test('the reader takes exactly what JSON.parse takes', () => {
  // Valid JSON with one piece cut out or put in: near enough to pass a careless reader.
  const pieces = fc.constantFrom(
    '',
    ',',
    ':',
    '"',
    "'",
    '{',
    '}',
    '[',
    ']',
    '0',
    '-',
    '.',
    'e',
    '\\',
    '\n',
    '\u0001',
    '#',
    '/',
    '\u00A0',
  );
  const damaged = fc.tuple(fc.json(), fc.nat(), fc.nat(3), pieces).map(([json, at, length, piece]) => {
    const start = at % (json.length + 1);
    return json.slice(0, start) + piece + json.slice(start + length);
  });
  fc.assert(
    fc.property(fc.oneof(damaged, fc.json(), fc.string()), (text) => {
      const { value, broken } = readJson(text);
      expect(broken).toBe(!parses(text));
      if (!broken) expect(value).toEqual(JSON.parse(text));
    }),
    { numRuns: 2000 },
  );
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
