import { describe, expect, test } from 'vitest';
import { batchOf, open, runOn } from './support.ts';

const messages = ['{"a":1,"b":"x"}', '{"a":2,"b":"y"}', '{"a":3,"b":"x"}'];

describe('queries of all kinds', () => {
  test.each<[string, object[]]>([
    ['SELECT a FROM flow;', [{ a: 1 }, { a: 2 }, { a: 3 }]],
    ['SELECT a FROM flow -- a comment; with a semicolon', [{ a: 1 }, { a: 2 }, { a: 3 }]],
    ["SELECT a, ';' AS c /* ; */ FROM flow WHERE b <> ';' ; ; -- ;\n", [1, 2, 3].map((a) => ({ a, c: ';' }))],
    ['FROM flow', messages.map((text) => JSON.parse(text) as object)],
    ['SELECT A AS "Ä" FROM FLOW', [{ Ä: 1 }, { Ä: 2 }, { Ä: 3 }]],
    [
      'WITH x AS (SELECT b, sum(a) AS s FROM flow GROUP BY b) SELECT * FROM x WHERE s > 2 ORDER BY s',
      [{ b: 'x', s: 4 }],
    ],
    [
      'WITH x AS (SELECT b, avg(a) AS a FROM flow GROUP BY b) SELECT b, a FROM x ORDER BY a, b',
      [
        { b: 'x', a: 2 },
        { b: 'y', a: 2 },
      ],
    ],
    ['SELECT x.a, y.a AS c FROM flow x JOIN flow y ON x.b = y.b AND x.a < y.a', [{ a: 1, c: 3 }]],
    ['SELECT b, x.a, y.a AS c FROM flow x JOIN flow y USING (b) WHERE x.a < y.a', [{ b: 'x', a: 1, c: 3 }]],
    ['SELECT flow.a FROM flow NATURAL JOIN (SELECT 2 AS a)', [{ a: 2 }]],
    [
      'SELECT a, row_number() OVER (PARTITION BY b ORDER BY a DESC) AS r FROM flow ORDER BY a',
      [
        { a: 1, r: 2 },
        { a: 2, r: 1 },
        { a: 3, r: 1 },
      ],
    ],
    ['SELECT a FROM flow QUALIFY a = max(a) OVER ()', [{ a: 3 }]],
    ['SELECT a FROM flow UNION ALL SELECT -a FROM flow', [1, 2, 3, -1, -2, -3].map((a) => ({ a }))],
    ['SELECT a FROM flow WHERE a = (SELECT max(a) FROM flow)', [{ a: 3 }]],
    [
      'SELECT * FROM flow WHERE a IN (SELECT max(a) FROM flow GROUP BY b) ORDER BY a DESC LIMIT 1',
      [{ a: 3, b: 'x' }],
    ],
    ['SELECT f.* EXCLUDE (b, missing) FROM flow AS f', [{ a: 1 }, { a: 2 }, { a: 3 }]],
    ["SELECT * RENAME (a AS c) FROM flow WHERE b = 'y'", [{ c: 2, b: 'y' }]],
    ['SELECT a AS r, a + 1 AS s, s + 1 AS t FROM flow LIMIT 1', [{ r: 1, s: 2, t: 3 }]],
    ['SELECT avg(a) AS a, count(*) AS b FROM flow HAVING count(*) > 2', [{ a: 2, b: 3 }]],
    [
      'SELECT list(a ORDER BY a) AS l, list_transform(list(a), lambda x: x + 1) AS m FROM flow',
      [{ l: [1, 2, 3], m: [2, 3, 4] }],
    ],
    [
      'SELECT k, v FROM (SELECT a AS k, unnest([a, -a]) AS v FROM flow) WHERE v < -1',
      [
        { k: 2, v: -2 },
        { k: 3, v: -3 },
      ],
    ],
    ['SELECT f FROM (SELECT a FROM flow) f', [1, 2, 3].map((a) => ({ f: { a } }))],
    ['SELECT flow.a AS flow FROM flow', [{ flow: 1 }, { flow: 2 }, { flow: 3 }]],
    [
      "SELECT {'x': a, 'y': [b]} AS s, MAP {b: a} AS m FROM flow LIMIT 1",
      [{ s: { x: 1, y: ['x'] }, m: { x: 1 } }],
    ],
    ["SELECT a FROM flow WHERE b = 'none'", []],
    ['SELECT count(*) AS n FROM flow WHERE false', [{ n: 0 }]],
    ['VALUES (1)', [{ col0: 1 }]],
    [
      "SELECT '1'::TINYINT AS i, 1.10::DECIMAL(4,2) AS d, 'a\nb' AS s, '\\x00\\xFF'::BLOB AS bytes",
      [{ i: 1, d: 1.1, s: 'a\nb', bytes: 'AP8=' }],
    ],
  ])('%s', async (sql, expected) => {
    const { run } = await open(sql);
    for (let round = 0; round < 2; round++) {
      const { rows, rejected } = await run(...messages);
      expect(rejected).toEqual([]);
      expect(rows.map((row): unknown => JSON.parse(row))).toEqual(expected);
      expect(rows.join('')).not.toContain('\n');
    }
  });

  test('a key of another table is that, unless the message has such a field', async () => {
    const { run } = await open('SELECT key, value FROM flow, json_each(flow.a)');
    expect((await run('{"b":1}', '{"a":{"k":1}}')).rows).toEqual(['{"key":"k","value":1}']);
    const { rows, rejected } = await run('{"key":1,"a":{"k":2}}', '{"a":{"k":3}}');
    expect(rows).toEqual(['{"key":"k","value":3}']);
    expect(rejected).toEqual([
      expect.stringMatching(/^0: MILLRACE_SQL_FIELD_CONFLICT field key: .*Ambiguous/),
    ]);
  });

  test.each(['events', 'Order', 'odd "name.x\n', "it's", 'a b', 'select', '__rows__', 'm'])(
    'the table may be called %j',
    async (tableName) => {
      const quoted = `"${tableName.replaceAll('"', '""')}"`;
      const { run } = await open(`SELECT a, ${quoted}.b FROM ${quoted} WHERE a > 1`, { tableName });
      expect((await run(...messages)).rows).toEqual(messages.slice(1));
    },
  );

  test('a table name cannot bring SQL of its own', async () => {
    for (const tableName of ['flow AS (SELECT 1), x', 'flow" AS (SELECT 1), "x', "flow; ATTACH 'x'"]) {
      await expect(open('SELECT * FROM flow', { tableName })).rejects.toMatchObject({
        code: 'MILLRACE_SQL_INVALID',
      });
    }
  });
});

describe('metadata', () => {
  const runs = [
    {
      start: 0,
      origin: { source: 'ws://a', ext: { session_id: '1', 'query.t"': 'x' } },
      time: 1_700_000_000_000_001,
      sequence: 7,
      messageType: 'text' as const,
    },
    { start: 2, origin: { source: 'ws://b', ext: {} }, time: 1_700_000_000_000_000 },
  ];
  const batch = batchOf(messages, { runs });

  test('can be computed with, and put into the payload under another name', async () => {
    const { query } = await open(
      "SELECT a, __meta_ext['session_id'] AS session, __meta_ext['sequence'] AS n, __meta_source AS src, __meta_ingest_time AS t FROM flow WHERE __meta_source LIKE 'ws://%' ORDER BY a DESC",
    );
    expect((await runOn(query, batch)).rows).toEqual([
      '{"a":3,"session":null,"n":null,"src":"ws://b","t":"2023-11-14T22:13:20Z"}',
      '{"a":2,"session":"1","n":"8","src":"ws://a","t":"2023-11-14T22:13:20.000001Z"}',
      '{"a":1,"session":"1","n":"7","src":"ws://a","t":"2023-11-14T22:13:20.000001Z"}',
    ]);
  });

  test('goes with rows that have its columns, apart from their payload', async () => {
    const { query } = await open(
      'SELECT a, __META_SOURCE, __meta_ingest_time, __meta_ext FROM flow WHERE a <> 2 ORDER BY a DESC',
    );
    const result = await runOn(query, batch);
    expect(result.rows).toEqual(['{"a":3}', '{"a":1}']);
    expect([0, 1].map((row) => result.batch!.metadata(row))).toEqual(
      [2, 0].map((index) => batch.metadata(index)),
    );
  });

  test('can be set by the query', async () => {
    const { query } = await open(
      "SELECT a, 'me' AS __meta_source, MAP {'k': a} AS __meta_ext FROM flow LIMIT 1",
    );
    const result = await runOn(query, batch);
    expect(result.batch!.metadata(0)).toMatchObject({ source: 'me', ext: { k: 1 } });
    const wrong = await open('SELECT 5 AS __meta_ext FROM flow');
    expect((await wrong.run('{}')).rejected).toEqual([
      expect.stringMatching(/^0: MILLRACE_PROCESSOR_FAILED /),
    ]);
  });

  test('rows without it have what is true of the whole batch', async () => {
    const { query } = await open('SELECT sum(a) AS s FROM flow');
    const { batch: whole } = await runOn(query, batch);
    expect(whole!.metadata(0)).toEqual({ source: '', ingestTime: 1_700_000_000_000_000, ext: {} });
    const { batch: one } = await runOn(query, batch.select([0, 1]));
    expect(one!.metadata(0)).toEqual({ source: 'ws://a', ingestTime: 1_700_000_000_000_001, ext: {} });
  });

  test('cannot be forged by a field of that name', async () => {
    const forged = [
      '{"a":1,"__meta_source":"x"}',
      '{"a":2,"__meta_ext":{"subject":"root"}}',
      '{"a":3,"__META_INGEST_TIME":1}',
      '{"a":4,"__row__":0}',
    ];
    for (const sql of [
      'SELECT *, 1 AS one FROM flow',
      'SELECT a, __meta_source, __meta_ext FROM flow',
      'SELECT * FROM flow',
      'SELECT DISTINCT * FROM flow',
    ]) {
      const { query } = await open(sql);
      const { batch: result } = await runOn(
        query,
        batchOf([...forged, '{"a":5}'], { runs: [{ ...runs[0]!, sequence: undefined }] }),
      );
      for (let row = 0; row < result!.length; row++)
        expect(result!.metadata(row)).toMatchObject({ source: 'ws://a', ext: runs[0]!.origin.ext });
    }
  });
});

describe('payloads that are not JSON', () => {
  const texts = ['plain', '', 'é\n"\\', '{"a":1}', 'a\0b', '1'];

  test('are the column __value__: text', async () => {
    const { query } = await open('SELECT __value__ AS v, length(__value__) AS n FROM flow');
    const { rows } = await runOn(query, batchOf(texts, { format: 'text' }));
    expect(rows.map((row): unknown => JSON.parse(row))).toEqual(texts.map((v) => ({ v, n: v.length })));
    const all = await open('SELECT * FROM flow');
    expect((await runOn(all.query, batchOf(texts, { format: 'text' }))).rows).toEqual(
      texts.map((text) => JSON.stringify({ __value__: text })),
    );
  });

  test('or bytes, which JSON shows as base64', async () => {
    const { query } = await open(
      "SELECT *, octet_length(__value__) AS n FROM flow WHERE __value__ <> 'plain'::BLOB",
    );
    const payloads = [Buffer.from([0, 255, 10, 34]), Buffer.from('plain'), Buffer.alloc(0)];
    const { rows } = await runOn(query, batchOf(payloads, { format: 'bytes' }));
    expect(rows).toEqual([`{"__value__":"AP8KIg==","n":4}`, '{"__value__":"","n":0}']);
    const decoded = await open("SELECT decode(__value__)::JSON->'a' AS a FROM flow");
    expect((await runOn(decoded.query, batchOf(['{"a":[1]}'], { format: 'bytes' }))).rows).toEqual([
      '{"a":[1]}',
    ]);
  });
});

describe('mistakes in the query are found before anything runs', () => {
  test.each<readonly [string, string | RegExp]>([
    ['', 'expected one SELECT statement'],
    ['SELECT a FRM flow\nWHERE', /syntax error at or near "flow" \(line 1, column 14 of the query\)/],
    ["SELECT 'é',\n  a +* 2 é FROM FROM flow", /\(line 2, column \d+ of the query\)/],
    ['SELECT 1; SELECT 2', /^statement 1: only the last statement may be a SELECT/],
    ['SELECT a\nFROM flow\nWHERE nofn(a)', /nofn does not exist.* \(line 3, column 7 of the query\)/],
    ['SELECT a FROM nope', /Table with name nope does not exist.* \(line 1, column 15 of the query\)/],
    ['SELECT a, b FROM flow GROUP BY b', /"a" must appear in the GROUP BY/],
    ['SELECT $1 FROM flow', 'the query cannot have parameters'],
    ['SELECT ? FROM flow', 'the query cannot have parameters'],
    ...[
      'INSERT INTO flow VALUES (1)',
      'DELETE FROM flow',
      'CREATE TABLE x (a INT)',
      'DROP TABLE flow',
      'SET threads = 4',
      'PRAGMA version',
      'CALL pragma_version()',
      'EXPLAIN SELECT 1',
      'BEGIN',
      'PREPARE x AS SELECT 1',
    ].map((sql) => [sql, 'expected one SELECT statement'] as const),
  ])('%s', async (query, message) => {
    const error = await open(query).then(
      () => undefined,
      (cause: unknown) => cause as Error,
    );
    expect(error).toMatchObject({ code: 'MILLRACE_SQL_INVALID', fatal: true });
    if (typeof message === 'string') expect(error!.message).toBe(message);
    else expect(error!.message).toMatch(message);
    expect(error!.message).not.toContain('Candidate functions');
  });

  test('but not what messages may mend', async () => {
    const { run } = await open("SELECT COLUMNS('^t_') FROM flow");
    await expect(run('{"a":1}')).rejects.toMatchObject({
      fatal: false,
      message: expect.stringMatching(/No matching columns/) as string,
    });
    expect((await run('{"t_x":1}', '{"a":1}')).rows).toEqual(['{"t_x":1}', '{"t_x":null}']);
  });
});

describe('SQL cannot leave its batch', () => {
  test.each([
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM parquet_scan('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''/tmp/millrace-x''')",
    "COPY (SELECT 1) TO '/tmp/millrace-x'",
    "EXPORT DATABASE '/tmp/millrace-x'",
    "ATTACH '/tmp/millrace-x.db'",
    'INSTALL httpfs',
    'LOAD httpfs',
    'SET enable_external_access = true',
    "SELECT getenv('HOME')",
    "SELECT * FROM read_csv('https://example.invalid/x.csv')",
    'WITH x AS (DELETE FROM flow RETURNING *) SELECT * FROM x',
    "SELECT * FROM sniff_csv('/etc/passwd')",
    'SELECT * FROM duckdb_secrets()',
    'SELECT * FROM read_text((SELECT a FROM flow))',
    'SELECT * FROM enable_profiling()',
    'SELECT a FROM flow WHERE EXISTS (FROM disable_profiling())',
    'SELECT * FROM enable_logging()',
    'SELECT * FROM duckdb_logs',
    'SELECT * FROM duckdb_settings()',
    'SELECT * FROM Pg_Settings',
    'SELECT * FROM pg_catalog.pg_settings',
    'WITH other AS (FROM information_schema.tables) SELECT * FROM flow, other',
    "SELECT * FROM query('FROM enable_profiling()')",
    "SELECT * FROM query_table('duckdb_logs')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    "SELECT json_serialize_plan('FROM enable_profiling()')",
    "SELECT write_log('x')",
    'SELECT a FROM flow ORDER BY "WRITE_LOG"(\'x\')',
    "SELECT system.main.write_log('x')",
    'SELECT list_transform([a], x -> x.write_log()) FROM flow',
    "SELECT current_setting('memory_limit')",
    'SELECT current_query()',
    'SELECT * FROM force_checkpoint()',
  ])('%s', async (sql) => {
    await expect(open(sql)).rejects.toMatchObject({ code: 'MILLRACE_SQL_INVALID', fatal: true });
  });

  test('unless the file says so', async () => {
    const { run } = await open("SELECT octet_length(content) > 0 AS found FROM read_blob('package.json')", {
      allowExternalAccess: true,
      traced: false,
    });
    expect((await run('{}')).rows).toEqual(['{"found":true}']);
    const logging = await open(
      "SELECT write_log('x') IS NULL AS done, count(*) > 0 AS any FROM duckdb_settings()",
      {
        allowExternalAccess: true,
        traced: false,
      },
    );
    expect((await logging.run('{}')).rows).toEqual(['{"done":true,"any":true}']);
  });

  test('what reads its arguments alone stays allowed, and so does a table that the query names itself', async () => {
    const { run } = await open(
      'WITH r AS (SELECT * FROM range(2)) SELECT r.range AS i, e.value AS v FROM r, flow, json_each(flow.a) e ORDER BY i',
    );
    expect((await run('{"a":[7]}')).rows).toEqual(['{"i":0,"v":7}', '{"i":1,"v":7}']);
  });
});

test('ORDER BY ALL sorts by the select list, and takes no other field', async () => {
  const { run } = await open('SELECT a, upper(b) AS b FROM flow ORDER BY ALL');
  expect(
    await run('{"a":2,"b":"x","m":1}', '{"a":1,"b":"y","m":"text"}', '{"a":1,"b":"x","m":[1]}'),
  ).toMatchObject({
    rows: ['{"a":1,"b":"X"}', '{"a":1,"b":"Y"}', '{"a":2,"b":"X"}'],
    rejected: [],
  });
});
