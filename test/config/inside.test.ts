import { expect, test } from 'vitest';
import { registry } from '../../src/components/index.ts';
import { loadConfig } from '../../src/config/load.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();
const path = ['streams', 0, 'pipeline', 'processors', 0, 'query'];

/** The file's answer to a mistake in the query, at a place in the query. */
async function told(file: string, line: number, column: number): Promise<string> {
  const config = await loadConfig(file, { registry, env: { Q: 'SELECT a FROM flow' } });
  const message = `no such thing (line ${line}, column ${column} of the query)`;
  const error = config.mistakes([{ path, message }]);
  return error.message
    .split('\n')[0]!
    .replace(`${dir.path}/`, '')
    .replace(/: \[?\S*query: /, ' ');
}

const yaml = (query: string): string => `\
- input: { type: generate, context: a }
  pipeline:
    processors:
      - type: sql
        query: ${query}
`;

test.each<[string, string, [number, number], string]>([
  ['a plain text', 'SELECT a, b FROM flow', [1, 11], '5:26 no such thing'],
  ['a text in quotes', "'SELECT a, b FROM flow'", [1, 11], '5:27 no such thing'],
  ['a block', '|\n\n          SELECT a,\n            b\n          FROM flow', [3, 3], '8:13 no such thing'],
  ['a block without its last break', '|-  # why\n          SELECT a', [1, 8], '6:18 no such thing'],
  // These don't stand in the file as the query has them.
  ['escapes', '"SELECT \\"a\\" FROM flow"', [1, 9], '5:16 no such thing (line 1, column 9 of the query)'],
  ['two quotes', "'SELECT ''a'' FROM flow'", [1, 16], '5:16 no such thing (line 1, column 16 of the query)'],
  [
    'a folded text',
    '>\n          SELECT\n          a',
    [1, 8],
    '5:16 no such thing (line 1, column 8 of the query)',
  ],
  [
    'a text over two lines',
    'SELECT\n          a',
    [1, 8],
    '5:16 no such thing (line 1, column 8 of the query)',
  ],
  ['a text of the environment', '${Q}', [1, 8], '5:16 no such thing (line 1, column 8 of the query)'],
])('a mistake in a query has its place in the file: %s', async (_, query, [line, column], expected) => {
  expect(await told(dir.file('a.yaml', yaml(query)), line, column)).toBe(`a.yaml:${expected}`);
});

test('in TOML and JSON too', async () => {
  const toml = dir.file(
    'a.toml',
    `[[streams]]\ninput = { type = "generate", context = "a" }\n[[streams.pipeline.processors]]\ntype = "sql"\nquery = """\nSELECT a\nFROM flow"""\n`,
  );
  expect(await told(toml, 2, 6)).toBe('a.toml:7:6 no such thing');
  const json = dir.file(
    'a.json',
    `{"streams":[{"input":{"type":"generate","context":"a"},"pipeline":{"processors":[\n{"type":"sql","query":"SELECT a FROM flow"}]}}]}`,
  );
  expect(await told(json, 1, 8)).toBe('a.json:2:31 no such thing');
});
