import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();
const QUERY = 'INSERT INTO kept SELECT id FROM flow; SELECT count(*) AS n, sum(id) AS sum FROM kept';

/** Runs a stream over these ids until it ends. @returns the last message of its output, and its log as one text */
async function runOver(
  name: string,
  ids: readonly number[],
  { state = 'kept: { id: BIGINT }', query = QUERY, first = '', more = '' } = {},
): Promise<{ last: string | undefined; log: string }> {
  const path = dir.file(`${name}.jsonl`, ids.map((id) => `{"id":${id}}\n`).join(''));
  const run = await startEngine(`
- input: { type: file, path: "${path}", codec: { type: json } }
  pipeline: { processors: [${first} { type: sql, state: { ${state} }, query: "${query}" }] }
  output: { type: collect }
  durability: { path: "${join(dir.path, name)}" }
  ${more}
`);
  await run.ended;
  return { last: run.output().texts.at(-1), log: run.log.map(({ msg }) => msg).join('\n') };
}

test('tables are there again after a restart, and new columns have their default', async () => {
  expect((await runOver('again', [1, 2])).last).toBe('{"n":2,"sum":3}');
  expect((await runOver('again', [3])).last).toBe('{"n":3,"sum":6}');
  const wider = {
    state: "kept: { id: BIGINT, unit: VARCHAR DEFAULT 'C' }",
    query:
      "INSERT INTO kept (id) SELECT id FROM flow; SELECT count(*) FILTER (unit = 'C') AS n, sum(id) AS sum FROM kept",
  };
  expect((await runOver('again', [4], wider)).last).toBe('{"n":4,"sum":10}');
});

test.each([
  [
    'a column is gone',
    'kept: { other: BIGINT }',
    /its table kept has a column id, which `state` no longer declares/,
  ],
  ['a table is gone', 'others: { id: BIGINT }', /it has a table kept, which `state` no longer declares/],
  ['a value does not fit', 'kept: { id: UTINYINT }', /Conversion Error/],
])('rows that the declared tables cannot take are not dropped: %s', async (what, state, reason) => {
  const name = what.replaceAll(' ', '-');
  await runOver(name, [1, 1000]);
  const { last, log } = await runOver(name, [2], { state, query: 'SELECT id FROM flow' });
  expect(last).toBeUndefined();
  expect(log).toMatch(reason);
  expect(log).toContain('remove the file to begin with empty tables');
  // As the file was.
  expect((await runOver(name, [3])).last).toMatch(/"n":[34],/);
});

test('the log is removed and its numbers begin anew: the tables of the file stay, and every message counts', async () => {
  await runOver('anew', [1, 2, 3]);
  for (const each of readdirSync(join(dir.path, 'anew')))
    if (each !== 'state') rmSync(join(dir.path, 'anew', each), { recursive: true });
  expect((await runOver('anew', [4])).last).toBe('{"n":4,"sum":10}');
});

test('messages that never reach the tables do not stay in the log', async () => {
  const first = '{ type: sql, query: "SELECT * FROM flow WHERE id < 0" },';
  await runOver('dropped', [1, 2, 3], { first });
  const { log } = await runOver('dropped', [4], { first });
  expect(log).not.toMatch(/first delivering/);
  expect(existsSync(join(dir.path, 'dropped', 'state'))).toBe(false);
});

test.each([
  [
    'buffer: { type: tumbling_window, interval: 1s }',
    '',
    /cannot stand behind a buffer in a stream with a log/,
  ],
  [
    '',
    '{ type: sql, state: { t: { a: INTEGER } }, query: SELECT id FROM flow },',
    /only one processor of a stream with a log may keep state/,
  ],
])('refused: %s %s', async (more, first, message) => {
  await expect(runOver('refused', [], { more, first })).rejects.toThrow(message);
});
