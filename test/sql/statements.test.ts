import { describe, expect, test } from 'vitest';
import type { StateOptions } from '../../src/sql/state-tables.ts';
import { open } from './support.ts';

const stateOf = (tables: StateOptions['tables']): { state: StateOptions } => ({
  state: { tables, maxBytes: 64 * 1024 ** 2 },
});

const LATEST = `
  CREATE TEMP TABLE latest AS SELECT device, max(d.n) AS n, d->>'unit' AS unit FROM flow GROUP BY ALL;
  UPDATE latest SET unit = 'none' WHERE unit IS NULL;
  DELETE FROM latest USING flow f WHERE latest.device = f.device AND f.gone;
  SELECT * FROM latest ORDER BY device;`;

test('several statements run for each batch, and the rows are those of the last', async () => {
  const { run } = await open(LATEST);
  const batch = [
    '{"device":"a","d":{"n":2,"unit":"C"}}',
    '{"device":"a","d":{"n":10,"unit":"C"}}',
    '{"device":"b","d":{"n":1}}',
    '{"device":"c","d":{"n":1}}',
    '{"device":"c","gone":true}',
  ];
  for (let round = 0; round < 2; round++)
    expect(await run(...batch)).toMatchObject({
      rows: ['{"device":"a","n":10,"unit":"C"}', '{"device":"b","n":1,"unit":"none"}'],
      rejected: [],
    });
});

test('a last SELECT * passes the messages as they are spelled', async () => {
  const { run } = await open(
    'CREATE TEMP TABLE ids AS SELECT id FROM flow; SELECT * FROM flow WHERE id IN (SELECT max(id) FROM ids)',
  );
  expect(
    (await run('{"id":1,"p":1.10}', '{"id":2,"p":0.30000000000000000001, "o":{ "a":1.0}}')).rows,
  ).toEqual(['{"id":2,"p":0.30000000000000000001, "o":{ "a":1.0}}']);
});

describe('tables of state live from one batch to the next', () => {
  const device = { device: 'VARCHAR PRIMARY KEY' };

  test('running totals', async () => {
    const { run } = await open(
      `INSERT INTO totals SELECT device, sum(v), count(*) FROM flow GROUP BY device
         ON CONFLICT DO UPDATE SET total = total + excluded.total, n = n + excluded.n;
       SELECT DISTINCT device, total, n FROM totals JOIN flow USING (device) ORDER BY device`,
      stateOf({ totals: { ...device, total: 'DECIMAL(18,2)', n: 'BIGINT' } }),
    );
    expect(
      (await run('{"device":"a","v":1.10}', '{"device":"b","v":2}', '{"device":"a","v":0.05}')).rows,
    ).toEqual(['{"device":"a","total":1.15,"n":2}', '{"device":"b","total":2.00,"n":1}']);
    expect((await run('{"device":"b","v":0.01}')).rows).toEqual(['{"device":"b","total":2.01,"n":2}']);
  });

  test('the last of several rows with one key stays, in a batch and after it', async () => {
    const { run } = await open(
      'INSERT OR REPLACE INTO last SELECT device, v FROM flow; FROM last ORDER BY device',
      stateOf({ last: 'CREATE TABLE last (device VARCHAR PRIMARY KEY, v INTEGER)' }),
    );
    expect(
      (
        await run(
          '{"device":"a","v":1}',
          '{"device":"b","v":5}',
          '{"device":"a","v":2}',
          '{"device":"a","v":3}',
        )
      ).rows,
    ).toEqual(['{"device":"a","v":3}', '{"device":"b","v":5}']);
    expect((await run('{"device":"b","v":6}', '{"device":"b","v":4}')).rows).toEqual([
      '{"device":"a","v":3}',
      '{"device":"b","v":4}',
    ]);
  });

  test.each([
    ['replaced', 'ON CONFLICT (device) DO UPDATE SET v = excluded.v', '{"device":"a","first":1,"v":3}'],
    ['ignored', 'ON CONFLICT DO NOTHING', '{"device":"a","first":1,"v":1}'],
    ['computed', 'ON CONFLICT DO UPDATE SET v = s.v * 10 + excluded.v', '{"device":"a","first":1,"v":123}'],
    [
      'computed, some of them',
      'ON CONFLICT DO UPDATE SET v = excluded.v WHERE excluded.v < 3',
      '{"device":"a","first":1,"v":2}',
    ],
  ])('rows with one key are inserted one after the other: %s', async (_, conflict, expected) => {
    const { run } = await open(
      `INSERT INTO seen AS s SELECT device, v AS first, v FROM flow ${conflict}; FROM seen`,
      stateOf({ seen: { ...device, first: 'BIGINT', v: 'BIGINT' } }),
    );
    expect((await run('{"device":"a","v":1}', '{"device":"a","v":2}', '{"device":"a","v":3}')).rows).toEqual([
      expected,
    ]);
  });

  test.each([
    'UPDATE seen SET v = f.v FROM flow f WHERE f.device = seen.device',
    'MERGE INTO seen USING flow f ON f.device = seen.device WHEN MATCHED THEN UPDATE SET v = f.v',
  ])('DuckDB does not choose among rows that change one: %s', async (statement) => {
    const { run } = await open(
      `INSERT OR IGNORE INTO seen (device) SELECT device FROM flow; ${statement}; FROM seen`,
      {
        ...stateOf({ seen: { ...device, v: 'BIGINT DEFAULT 0' } }),
      },
    );
    expect(await run('{"device":"a","v":1}', '{"device":"b","v":2}')).toMatchObject({
      rows: ['{"device":"a","v":1}', '{"device":"b","v":2}'],
      rejected: [],
    });
    const { rows, rejected } = await run(
      '{"device":"a","v":7}',
      '{"device":"b","v":3}',
      '{"device":"a","v":8}',
    );
    expect(rows).toEqual(['{"device":"a","v":1}', '{"device":"b","v":3}']);
    expect(rejected.map((each) => each.slice(0, 100))).toEqual(
      [0, 2].map((index) =>
        expect.stringMatching(
          new RegExp(`^${index}: .*statement 2: several rows would change one row of seen`),
        ),
      ),
    );
  });
});

describe('a rejected message has changed nothing', () => {
  const totals = stateOf({
    totals: { device: 'VARCHAR PRIMARY KEY', total: 'BIGINT' },
    log: { id: 'BIGINT' },
  });
  const query = `
    INSERT INTO log SELECT id FROM flow;
    INSERT INTO totals SELECT device, sum(v::BIGINT) FROM flow GROUP BY device
      ON CONFLICT DO UPDATE SET total = total + excluded.total;
    SELECT (SELECT list(id ORDER BY id) FROM log) AS ids, sum(total // w) AS sum FROM totals, (SELECT max(w) AS w FROM flow)`;

  test.each([
    ['in a statement', '{"id":2,"device":"a","v":"x","w":1}', /statement 2: Conversion Error/],
    ['in the last one', '{"id":2,"device":"a","v":"5","w":"x"}', /field w/],
    ['in a key', '{"id":2,"v":"5","w":1}', /statement 2: Constraint Error: NOT NULL/],
  ])('%s', async (_, wrong, reason) => {
    const { run } = await open(query, totals);
    expect((await run('{"id":0,"device":"a","v":"1","w":1}')).rows).toEqual(['{"ids":[0],"sum":1}']);
    const { rows, rejected } = await run(
      '{"id":1,"device":"a","v":"2","w":1}',
      wrong,
      '{"id":3,"device":"b","v":"3","w":1}',
    );
    expect(rejected).toEqual([expect.stringMatching(/^1: /)]);
    expect(rejected[0]).toMatch(reason);
    expect(rows).toEqual(['{"ids":[0,1,3],"sum":6}']);
    expect((await run('{"id":4,"device":"b","v":"1","w":1}')).rows).toEqual(['{"ids":[0,1,3,4],"sum":7}']);
  });
});

test('tables that would become too large stay as they are, and rows that are deleted make room', async () => {
  const { run } = await open(
    'INSERT INTO seen SELECT id, repeat(id::VARCHAR, size) FROM flow; DELETE FROM seen WHERE id < 0 OR id < (SELECT max(since) FROM flow); SELECT count(*) AS n FROM seen',
    { state: { tables: { seen: { id: 'BIGINT PRIMARY KEY', text: 'VARCHAR' } }, maxBytes: 12 * 1024 ** 2 } },
  );
  const many = (from: number, count: number, since = 0): string[] =>
    Array.from({ length: count }, (_, index) => `{"id":${from + index},"size":400,"since":${since}}`);
  expect((await run(...many(1000, 1000))).rows).toEqual(['{"n":1000}']);
  await expect(run(...many(2000, 8000))).rejects.toMatchObject({
    code: 'MILLRACE_SQL_STATE_TOO_LARGE',
    message: expect.stringMatching(
      /would take \d+ bytes of memory, and `max_state_bytes` is 12582912/,
    ) as string,
  });
  for (let round = 2; round < 40; round++)
    expect(await run(...many(round * 1000, 1000, round * 1000))).toMatchObject({
      rows: ['{"n":1000}'],
      rejected: [],
    });
}, 60_000);

describe('mistakes have their statement and their place', () => {
  test.each<[string, string | RegExp]>([
    [
      'SELECT 1; SELECT 2',
      'statement 1: only the last statement may be a SELECT: nobody would get the rows of this one (line 1, column 1 of the query)',
    ],
    [
      'INSERT INTO t SELECT a FROM flow;\n INSERT INTO t VALUES (1)',
      'statement 2: expected a SELECT as the last statement: its rows are the result (line 2, column 2 of the query)',
    ],
    ["SELECT 1;\n COPY t TO 'x'; SELECT 1", /^statement 1: only the last/],
    ...[
      "COPY t TO 'x'",
      "ATTACH 'x'",
      'INSTALL httpfs',
      'LOAD httpfs',
      "SET timezone = 'UTC'",
      'PRAGMA version',
      'CALL pragma_version()',
      'DROP TABLE t',
      'COMMIT',
      'ALTER TABLE t ADD COLUMN b INTEGER',
      'TRUNCATE t',
      'EXPLAIN SELECT 1',
      'USE memory',
      'CHECKPOINT',
      'VACUUM',
      'DETACH x',
      "EXPORT DATABASE 'x'",
    ].map((statement): [string, string] => [
      `DELETE FROM t;\n  ${statement}; SELECT 1`,
      `statement 2: a query cannot have ${/^\w+/.exec(statement)![0]}: expected CREATE TEMP TABLE, INSERT, UPDATE, DELETE or MERGE; these change tables of \`state\` and temporary ones (line 2, column 3 of the query)`,
    ]),
    [
      'CREATE TABLE x (a INT); SELECT 1',
      /^statement 1: expected CREATE TEMP TABLE, .* \(line 1, column 8 of the query\)$/,
    ],
    [
      'DELETE FROM sites; SELECT 1',
      'statement 1: sites is neither a table of `state` nor a temporary one of this query (line 1, column 1 of the query)',
    ],
    ['DELETE FROM main.t; SELECT 1', /^statement 1: expected the name of a table alone, without a schema/],
    ['DELETE FROM t RETURNING a; SELECT 1', /^statement 1: RETURNING has no use here.*column 15/],
    ["INSERT INTO t SELECT getenv('HOME') FROM flow; SELECT 1", /getenv reaches beyond the batch/],
    ["INSERT INTO t VALUES (current_setting('x')); SELECT 1", /current_setting reaches beyond the batch/],
    [
      "INSERT INTO t SELECT 1 ON CONFLICT DO UPDATE SET b = getenv('HOME'); SELECT 1",
      /getenv reaches beyond the batch/,
    ],
    [
      "DELETE FROM t WHERE a IN (SELECT size FROM read_blob('/etc/*')); SELECT 1",
      /read_blob reaches beyond the batch/,
    ],
    [
      "MERGE INTO t USING flow f ON f.a = t.a WHEN MATCHED AND getenv('x') = '' THEN DELETE; SELECT 1",
      /getenv reaches beyond the batch/,
    ],
    [
      'DELETE FROM t;\nINSERT INTO t SELECT a, nofn(d.x) FROM flow; SELECT 1',
      /^statement 2: Catalog Error: .* nofn does not exist.* \(line 2, column 25 of the query\)$/,
    ],
    ['DELETE FROM t; UPDATE t\n SET nope = d.b FROM flow; SELECT 1', /^statement 2: Binder Error: .*nope/],
    [
      'DELETE FROM t; SELECT a,\n nofn(a) FROM flow',
      /nofn does not exist.* \(line 2, column 2 of the query\)$/,
    ],
    [
      'DELETE FROM t WHER a = 1; SELECT 1',
      /^Parser Error: syntax error .*\(line 1, column 20 of the query\)$/,
    ],
    ['DELETE FROM t WHERE a = $1; SELECT a FROM flow', 'the query cannot have parameters'],
  ])('%s', async (query, message) => {
    const error = await open(query, stateOf({ t: { a: 'INTEGER PRIMARY KEY', b: 'VARCHAR' } })).then(
      () => undefined,
      (cause: unknown) => cause as Error,
    );
    expect(error).toMatchObject({ code: 'MILLRACE_SQL_INVALID', fatal: true, field: 'query' });
    if (typeof message === 'string') expect(error!.message).toBe(message);
    else expect(error!.message).toMatch(message);
  });

  test.each<[string | Record<string, string>, RegExp]>([
    [{ a: 'INTEGR' }, /Type with name INTEGR does not exist/],
    ['CREATE TABLE other (a INTEGER)', /expected columns with their types, or CREATE TABLE t \(…\)/],
    ['CREATE TEMP TABLE t (a INTEGER)', /expected columns with their types, or CREATE TABLE t/],
    [
      'CREATE TABLE t (a INTEGER); SELECT 1',
      /expected one statement, CREATE TABLE, and there are 2 statements/,
    ],
    [{}, /syntax error|at least one column/],
  ])('of a table: %j', async (definition, message) => {
    await expect(open('SELECT 1', stateOf({ t: definition }))).rejects.toMatchObject({
      code: 'MILLRACE_SQL_INVALID',
      fatal: true,
      field: 'state.t',
      message: expect.stringMatching(message) as string,
    });
  });
});
