import { describe, expect, test } from 'vitest';
import { open, runOn, batchOf } from './support.ts';

const MIB = 1024 ** 2;
const messages = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => `{"n":${n},"times":20000}`);

describe('what does not fit into memory', () => {
  test('is run in parts, where each row is made of one message', async () => {
    const { query } = await open("SELECT n, repeat('x', times) AS r FROM flow", {
      memoryLimit: 32 * MIB,
      maxResultBytes: 64 * MIB,
    });
    const { rows, rejected, batches } = await runOn(query, batchOf(messages(1000)));
    expect(rejected).toEqual([]);
    expect(batches.length).toBeGreaterThan(1);
    expect(rows).toHaveLength(1000);
    expect(rows.map((row) => (JSON.parse(row) as { n: number }).n)).toEqual(messages(1000).map((_, n) => n));
  });

  test.each([
    "SELECT n, repeat('x', times) AS r FROM flow ORDER BY n",
    "SELECT n, repeat('x', times) AS r, count(*) OVER () AS c FROM flow",
    "SELECT list(repeat('x', times)) AS l FROM flow",
    'SELECT a.n, b.n AS m FROM flow a, flow b, flow c',
  ])('is rejected as a batch elsewhere: %s', async (sql) => {
    const { query } = await open(sql, { memoryLimit: 32 * MIB, maxResultBytes: 64 * MIB });
    await expect(runOn(query, batchOf(messages(1000)))).rejects.toMatchObject({
      code: 'MILLRACE_SQL_TOO_LARGE',
      fatal: false,
    });
    expect((await runOn(query, batchOf(messages(1)))).rows).toHaveLength(1);
  });
});

test('one message that is too much alone is rejected alone, among many', async () => {
  const { query } = await open("SELECT n, repeat('x', times) AS r FROM flow ORDER BY n", {
    memoryLimit: 32 * MIB,
  });
  const texts = messages(500).map((_, n) => `{"n":${n},"times":${n === 321 ? 40_000_000 : 1}}`);
  const { rows, rejected } = await runOn(query, batchOf(texts));
  expect(rejected).toContainEqual(expect.stringMatching(/^321: MILLRACE_SQL_TOO_LARGE/));
  // Those that the search had no time to tell from it.
  expect(rejected.length).toBeLessThan(63);
  expect(rows).toHaveLength(500 - rejected.length);
});

describe('a result that is too large', () => {
  test('of one message: it is rejected alone', async () => {
    const { run } = await open("SELECT n, repeat('x', times) AS r FROM flow ORDER BY n", {
      maxResultBytes: 1000,
    });
    const { rows, rejected } = await run('{"n":1,"times":1}', '{"n":2,"times":2000}', '{"n":3,"times":3}');
    expect(rows).toEqual(['{"n":1,"r":"x"}', '{"n":3,"r":"xxx"}']);
    expect(rejected).toEqual([
      '1: MILLRACE_SQL_TOO_LARGE the result is larger than `max_result_bytes`, 1000 bytes',
    ]);
  });

  test('of many: the batch is rejected', async () => {
    const { query } = await open("SELECT n, repeat('x', times) AS r FROM flow", { maxResultBytes: MIB });
    await expect(runOn(query, batchOf(messages(100)))).rejects.toMatchObject({
      code: 'MILLRACE_SQL_TOO_LARGE',
    });
  });
});
