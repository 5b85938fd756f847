import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { QueryOptions } from '../../src/sql/query.ts';
import { batchOf, open, runOn } from './support.ts';

/** A condition that is true, and that only DuckDB can tell. */
const ASKS_DUCKDB = 'coalesce(NULL, true)';

/** Opens the query; `asked` counts the batches that went to DuckDB. */
async function counted(query: string, options: Partial<QueryOptions> = {}) {
  let asked = 0;
  const opened = await open(query, { ...options, started: () => asked++ });
  return { ...opened, asked: () => asked };
}

const numbers = fc.constantFrom(
  '0',
  '-0',
  '24',
  '25',
  '25.0',
  '2.5e1',
  '1e2',
  '30.50',
  '123456789012345678',
  '1e400',
);
const strings = fc.constantFrom('"a"', '"ab"', '"b\\u00e9"', '"\\ud83d\\ude00"', '"\\ud800"', '""');
const value = fc.oneof(
  { arbitrary: numbers, weight: 4 },
  { arbitrary: strings, weight: 2 },
  fc.constantFrom('null', 'true', '[1]', '{"n":1}'),
);
const member = (name: string): fc.Arbitrary<string> => value.map((json) => `"${name}": ${json}`);
const message = fc
  .tuple(
    fc.option(member('n')),
    fc.option(strings.map((json) => `"s":${json}`)),
    fc.option(fc.constantFrom('"ok":true', '"ok":false')),
    fc.option(fc.oneof(numbers, strings).map((json) => `"d":{"n":${json},"t":[${json}]}`)),
    fc.option(member('S'), { freq: 1 }),
  )
  .map((parts) => `{${parts.filter((part) => part !== null).join(',')}}`);
const batch = fc.array(message, { minLength: 1, maxLength: 12 });

test.each([
  ['SELECT * FROM flow', 'n >= 25'],
  ['SELECT n, s AS name, d.n FROM flow', "n > 24.5 OR s LIKE 'a%'"],
  ['SELECT x.s, x.* FROM flow x', "x.s BETWEEN 'a' AND 'c' AND NOT ok"],
  ['SELECT s FROM flow', "d->>'n' IN ('25', 'a') OR d.t[1] IS NULL"],
  ['SELECT flow.n AS s FROM flow', "flow.s <> 'a'"],
])('%s WHERE %s: as DuckDB answers, in rows and rejections', async (select, condition) => {
  const own = await counted(`${select} WHERE (${condition})`);
  const duckdb = await counted(`${select} WHERE (${condition}) AND ${ASKS_DUCKDB}`);
  for (const messages of fc.sample(batch, 60)) {
    const [found, expected] = [await own.run(...messages), await duckdb.run(...messages)];
    expect([messages, found.rows, found.rejected]).toEqual([messages, expected.rows, expected.rejected]);
  }
  // Once the messages have shown what they bring, most batches need no database.
  expect(own.asked()).toBeLessThan(duckdb.asked() - 20);
});

test.each([
  ['SELECT *', { n: 'BIGINT', S: 'VARCHAR' }, 'n >= 25'],
  [
    'SELECT n, s AS name, d.n',
    { n: 'DOUBLE', s: 'VARCHAR', ok: 'BOOLEAN' },
    "s LIKE 'a%' OR n > 24.5 AND ok",
  ],
  ['SELECT n, n AS again, N AS other, s', { n: 'HUGEINT' }, "s <> 'a' OR n IN (24, 25)"],
  ['SELECT * EXCLUDE (ok)', { n: 'DECIMAL(10, 2)', d: 'JSON', ok: 'BOOLEAN' }, 's IS NOT NULL'],
  ['SELECT n, x', { n: 'INTEGER', x: 'VARCHAR' }, 'x IS NULL AND n > 24'],
])('%s of columns declared as %j, WHERE %s: as DuckDB answers', async (select, schema, condition) => {
  const own = await counted(`${select} FROM flow WHERE (${condition})`, { schema });
  const duckdb = await counted(`${select} FROM flow WHERE (${condition}) AND ${ASKS_DUCKDB}`, { schema });
  for (const messages of fc.sample(batch, 60)) {
    const [found, expected] = [await own.run(...messages), await duckdb.run(...messages)];
    expect([messages, found.rows, found.rejected]).toEqual([messages, expected.rows, expected.rejected]);
  }
  expect(own.asked()).toBeLessThan(duckdb.asked() - 20);
});

test('a filter and a projection ask DuckDB only when messages bring something new', async () => {
  const { run, asked } = await counted('SELECT s, d.n FROM flow WHERE n >= 25 AND d.n < 5');
  const good = '{"n":25,"s":"a","d":{"n":1.50},"x":1}';
  expect(await run(good)).toMatchObject({ rows: ['{"s":"a","n":1.50}'], rejected: [] });
  const before = asked();
  expect((await run(good, '{"n":24}', good)).rows).toHaveLength(2);
  expect(asked()).toBe(before);
  // The column is a double from now on.
  expect((await run('{"n":25.5,"d":{"n":1}}')).rows).toEqual(['{"s":null,"n":1}']);
  expect(asked()).toBeGreaterThan(before);
});

test('messages gather between statements on few of them, and for nothing else', async () => {
  const computes = await open('SELECT n + 1 AS m FROM flow');
  await computes.run('{"n":1}');
  expect(computes.query.rest).toBeGreaterThan(0);
  await computes.run(...Array.from({ length: 256 }, () => '{"n":1}'));
  expect(computes.query.rest).toBe(0);
  const filters = await open('SELECT n FROM flow WHERE n > 0');
  await filters.run('{"n":1}');
  await filters.run('{"n":1}');
  expect(filters.query.rest).toBe(0);
});

test.each([
  ['computes', 'SELECT n + 1 AS m FROM flow WHERE n > 1', {}],
  ['sorts', 'SELECT n FROM flow WHERE n > 1 ORDER BY n', {}],
  ['counts', 'SELECT DISTINCT n FROM flow WHERE n > 1', {}],
  ['converts', 'SELECT n FROM flow WHERE n > 1', { schema: { n: 'DECIMAL(4, 1)' } }],
  ['has a type that only DuckDB converts', 'SELECT n, d FROM flow WHERE n > 1', { schema: { d: 'DATE' } }],
  ['uses a name that it gave', 'SELECT n AS m FROM flow WHERE m > 1', {}],
])('a query that %s asks DuckDB each time', async (_, query, options) => {
  const { run, asked } = await counted(query, options);
  await run('{"n":2}');
  const before = asked();
  expect((await run('{"n":2}')).rows).toHaveLength(1);
  expect(asked()).toBe(before + 1);
});

test('a query that was closed fails, whether or not it needs DuckDB', async () => {
  const { query } = await open('SELECT * FROM flow WHERE n > 1');
  await runOn(query, batchOf(['{"n":2}']));
  await query.close();
  await expect(runOn(query, batchOf(['{"n":2}']))).rejects.toThrow('sql: closed');
});
