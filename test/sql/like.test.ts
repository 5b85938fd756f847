import { DuckDBInstance } from '@duckdb/node-api';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Database, literal } from '../../src/sql/database.ts';
import { open } from './support.ts';

const OPERATORS = ['LIKE', 'NOT LIKE', 'ILIKE', 'NOT ILIKE'];

test('LIKE and ILIKE say what DuckDB’s own say', async () => {
  const ours = await (
    await Database.open({ allowExternalAccess: false, timezone: 'UTC', memoryLimit: 64 * 1024 ** 2 })
  ).connect();
  const theirs = await (await DuckDBInstance.create(':memory:')).connect();
  const characters = [
    'a',
    'B',
    '%',
    '_',
    '.',
    '\\',
    '^',
    '$',
    '|',
    '?',
    '*',
    '+',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '\n',
  ];
  const text = fc.array(fc.constantFrom(...characters, 'é', 'É', '日', '😀', 'İ', 'ſ', 'K', 'ß'), {
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(text, text, async (letters, pattern) => {
      const [s, p] = [literal(letters.join('')), literal(pattern.join(''))];
      const select = (a: string, b: string): string =>
        OPERATORS.map((each) => `${a} ${each} ${b}`).join(', ');
      const sql = `SELECT ${select(s, p)}, ${select('s', 'p')}, ${select('s', p)} FROM (VALUES (${s}, ${p})) t(s, p)`;
      const [own, other] = await Promise.all([ours, theirs].map((each) => each.runAndReadAll(sql)));
      expect(own!.getRows()).toEqual(other!.getRows());
    }),
    { numRuns: 300 },
  );
});

test('NULL stays NULL, and names of columns stay as they are', async () => {
  const { run } = await open("SELECT a LIKE 'x_' AS l, NOT (a ILIKE NULL) AS n, a LIKE '%y' FROM flow");
  expect(
    (await run('{"a":null}', '{"a":"xy"}')).rows.map((row) => Object.values(JSON.parse(row) as object)),
  ).toEqual([
    [null, null, null],
    [true, null, true],
  ]);
});

test.each([
  ["SELECT count(*) AS n FROM flow WHERE a ILIKE '%foo%foo%bar%'", '{"n":0}'],
  ["SELECT count(*) AS n FROM flow WHERE a LIKE '%f_o%f_o%bar'", '{"n":0}'],
])('%s: one long message does not hold up the others', async (sql, expected) => {
  const { run } = await open(sql, { timeout: 20_000 });
  expect(await run(JSON.stringify({ a: 'foo'.repeat(300_000) }))).toMatchObject({
    rows: [expected],
    rejected: [],
  });
});

test('a pattern in a message is bounded, and cannot end the process', async () => {
  const { run } = await open('SELECT a LIKE p AS l FROM flow');
  const hostile = JSON.stringify({ a: 'a'.repeat(1000), p: '%a_'.repeat(200_000) });
  const { rows, rejected } = await run('{"a":"abc","p":"a_c"}', hostile, '{"a":"abc","p":"b%"}');
  expect(rows).toEqual(['{"l":true}', '{"l":false}']);
  expect(rejected).toEqual([expect.stringMatching(/^1: MILLRACE_PROCESSOR_FAILED .*pattern too large/)]);
});
