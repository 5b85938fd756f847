import { DuckDBInstance } from '@duckdb/node-api';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { open, valuesOf } from './support.ts';

const reading = fc.record(
  {
    a: fc.integer({ min: 0, max: 9 }),
    b: fc.constantFrom('x', 'y', 'z'),
    d: fc.integer({ min: 0, max: 40 }).map((n) => n / 8),
  },
  { requiredKeys: ['a'] },
);
const batches = fc.array(fc.array(reading, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 3 });

// The same query over a table, one batch at a time, with a database that optimizes nothing.
test.each([
  'SELECT * FROM flow ORDER BY a DESC, b, d LIMIT 3',
  'SELECT a, b FROM flow ORDER BY b NULLS LAST, a, d LIMIT 2 OFFSET 1',
  'SELECT * FROM flow WHERE a IN (SELECT max(a) FROM flow GROUP BY b) ORDER BY a DESC, b, d LIMIT 2',
  'SELECT * FROM flow WHERE a = (SELECT max(a) FROM flow) ORDER BY b, d LIMIT 1',
  'SELECT * FROM flow WHERE EXISTS (SELECT 1 FROM flow g WHERE g.b = flow.b AND g.a > flow.a) ORDER BY ALL',
  'SELECT x.a, y.d FROM flow x JOIN flow y ON x.a = y.a AND x.b = y.b ORDER BY ALL LIMIT 5',
  'SELECT x.a, count(*) AS n FROM flow x LEFT JOIN flow y ON x.a < y.a GROUP BY x.a ORDER BY n DESC, x.a LIMIT 4',
  'WITH m AS (SELECT b, max(a) AS top FROM flow GROUP BY b) SELECT flow.a, m.top FROM flow JOIN m USING (b) WHERE flow.a = m.top ORDER BY ALL LIMIT 3',
  'WITH m AS (SELECT * FROM flow WHERE a > 3) SELECT p.a, q.b FROM m p, m q WHERE p.a = q.a ORDER BY ALL LIMIT 5',
  'SELECT a FROM flow UNION SELECT a + 1 FROM flow ORDER BY a DESC LIMIT 3',
  'SELECT a, b FROM flow EXCEPT SELECT a, b FROM flow WHERE a > 4 ORDER BY ALL',
  'SELECT a, b FROM flow QUALIFY row_number() OVER (PARTITION BY b ORDER BY a DESC, d) = 1 ORDER BY ALL',
  'SELECT b, arg_max(a, d) AS at, quantile_cont(a, 0.5) AS mid FROM flow WHERE d IS NOT NULL GROUP BY b ORDER BY b LIMIT 2',
  'SELECT DISTINCT ON (b) b, a FROM flow ORDER BY b, a DESC, d',
  'SELECT b, sum(a) FILTER (d > 1) AS s FROM flow GROUP BY ROLLUP (b) ORDER BY ALL',
])('%s: as over a table', async (sql) => {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run('PRAGMA disable_optimizer');
  const query = await open(sql, { schema: { a: 'BIGINT', b: 'VARCHAR', d: 'DOUBLE' } });
  await fc.assert(
    fc.asyncProperty(batches, async (all) => {
      for (const batch of all) {
        const rows = batch.map(
          ({ a, b, d }) => `(${a}, ${b === undefined ? 'NULL' : `'${b}'`}, ${d ?? 'NULL'})`,
        );
        await connection.run('CREATE OR REPLACE TABLE flow (a BIGINT, b VARCHAR, d DOUBLE)');
        await connection.run(`INSERT INTO flow VALUES ${rows.join(', ')}`);
        const reader = await connection.runAndReadAll(
          `SELECT CAST(to_json(r) AS VARCHAR) FROM (${sql}) AS r`,
        );
        const expected = reader.getRows().map(([text]) => String(text));
        const { rows: found, rejected } = await query.run(...batch.map((each) => JSON.stringify(each)));
        expect(rejected).toEqual([]);
        const sorted = (lines: readonly string[]): unknown[] =>
          valuesOf(sql.includes('ORDER BY ALL') || sql.includes(', d') ? lines : lines.toSorted());
        expect(sorted(found)).toEqual(sorted(expected));
      }
    }),
    { numRuns: 25 },
  );
  connection.closeSync();
  instance.closeSync();
});
