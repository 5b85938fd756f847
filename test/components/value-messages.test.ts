import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();

/** Ends a message. */
const END = '\u0003';

/** The bytes of a query's messages. */
async function written(query: string, message: string, then = ''): Promise<string> {
  const output = join(dir.path, 'out');
  const file = dir.file(
    'a.json',
    JSON.stringify({
      health_check: { enabled: false },
      streams: [
        {
          input: { type: 'file', path: dir.file('in.jsonl', message), codec: { type: 'json' } },
          pipeline: {
            processors: [query, then].filter(Boolean).map((each) => ({ type: 'sql', query: each })),
          },
          output: {
            type: 'file',
            path: output,
            append: false,
            framing: { type: 'delimiter', delimiter: END, terminated: true },
          },
        },
      ],
    }),
  );
  const { code, stderr } = await cli(['run', file]);
  expect(code, stderr).toBe(0);
  const bytes = readFileSync(output, 'latin1');
  expect(bytes.endsWith(END)).toBe(true);
  return bytes.slice(0, -END.length);
}

test.each([
  ["SELECT t || ' °C' AS __value__ FROM flow", '{"t":21}', Buffer.from('21 °C').toString('latin1')],
  ['SELECT from_base64(b) AS __value__ FROM flow', '{"b":"AP8K"}', '\u0000\u00ff\n'],
  ['SELECT [t, 2 * t] AS __value__ FROM flow', '{"t":21}', '[21,42]'],
  ['SELECT d AS __value__ FROM flow', '{"d":{"n":[1.5,"x"]}}', '{"n":[1.5,"x"]}'],
  ['SELECT count(*) AS __value__ FROM flow', '{}\n{}\n', '2'],
  ["SELECT t::VARCHAR AS __value__, 'k' AS __meta_key FROM flow", '{"t":21}', '21'],
  ['SELECT x::INTEGER AS __value__ FROM flow', '{}', 'null'],
  ['SELECT x::VARCHAR AS __value__ FROM flow', '{}', ''],
  // A second column makes it a field like any other.
  ['SELECT t AS __value__, t FROM flow', '{"t":21}', '{"__value__":21,"t":21}'],
])('%s of %s is the message itself', async (query, message, expected) => {
  expect(await written(query, message)).toBe(expected);
});

test('a following query finds the value in the column __value__', async () => {
  expect(
    await written(
      "SELECT t || '!' AS __value__ FROM flow",
      '{"t":21}',
      'SELECT length(__value__) AS length FROM flow',
    ),
  ).toBe('{"length":3}');
});
