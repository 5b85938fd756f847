import { describe, expect, test } from 'vitest';
import { batchOf, open, runOn, valuesOf } from './support.ts';

const CONFLICT = 'MILLRACE_SQL_FIELD_CONFLICT';

describe('columns that follow the data', () => {
  test('a column that no message has shown is NULL, whatever the query does with it', async () => {
    const { run } = await open(
      "SELECT a, b + 1 AS b1, upper(c) AS c1, d.e.f AS f, d->>'e' AS e, date_trunc('hour', t) AS h, z AS z FROM flow WHERE x IS NULL",
    );
    expect((await run('{}', '{"x":null}', '{"x":1}')).rows).toEqual(
      Array(2).fill('{"a":null,"b1":null,"c1":null,"f":null,"e":null,"h":null,"z":null}'),
    );
  });

  test('a column that is there only as null stays NULL until it has a value', async () => {
    const { run, widened } = await open('SELECT a + 1 AS b FROM flow');
    expect((await run('{"a":null}')).rows).toEqual(['{"b":null}']);
    expect((await run('{"a":1}', '{"a":null}')).rows).toEqual(['{"b":2}', '{"b":null}']);
    expect(widened).toEqual([]);
  });

  test('integers widen as they need, and each change is told once', async () => {
    const { run, widened } = await open('SELECT a + 0 AS b FROM flow');
    const big = '9'.repeat(38);
    expect((await run('{"a":1}')).rows).toEqual(['{"b":1}']);
    expect((await run('{"a":123456789012345678}')).rows).toEqual(['{"b":123456789012345678}']);
    expect((await run('{"a":1}', `{"a":-${big}}`)).rows).toEqual(['{"b":1}', `{"b":-${big}}`]);
    expect((await run(`{"a":${big}}`)).rows).toEqual([`{"b":${big}}`]);
    expect(widened).toEqual(['a: BIGINT > HUGEINT']);
  });

  test('integers and fractions are doubles where that is exact', async () => {
    const { run, widened } = await open('SELECT a * 2 AS b FROM flow');
    await run('{"a":999999999999999}');
    const { rows, rejected } = await run(
      '{"a":0.1}',
      '{"a":999999999999999}',
      '{"a":9999999999999999}',
      '{"a":1e3}',
    );
    expect(valuesOf(rows)).toEqual(valuesOf(['{"b":0.2}', '{"b":1999999999999998}', '{"b":2000}']));
    expect(rejected).toEqual([
      expect.stringMatching(`^2: ${CONFLICT} field a: an integer does not fit the type DOUBLE`),
    ]);
    expect(widened).toEqual(['a: BIGINT > DOUBLE']);
  });

  test('a number beyond a double is rejected where the query reads it, and kept where it does not', async () => {
    const reading = await open('SELECT a * 1 AS a FROM flow');
    const texts = ['{"a":1.5}', '{"a":1e400}', '{"a":-1e999}', '{"a":2.5}'];
    const { rows, rejected } = await reading.run(...texts);
    expect(rows).toEqual(['{"a":1.5}', '{"a":2.5}']);
    expect(rejected).toEqual(
      [1, 2].map((index) => expect.stringMatching(`^${index}: .*field a: not a number within the range`)),
    );
    for (const sql of ['SELECT * FROM flow', 'SELECT a FROM flow'])
      expect((await (await open(sql)).run(...texts)).rows).toEqual(texts);
  });

  test('a column that is passed on becomes JSON when its values differ in kind', async () => {
    const { run, widened } = await open('SELECT a FROM flow', { typed: true });
    const texts = [
      '1',
      '"x"',
      'true',
      '[1,{"b":null}]',
      '{"c":"d"}',
      '12345678901234567890',
      '1.5',
      'null',
      '9'.repeat(50),
    ].map((text) => `{"a":${text}}`);
    for (const text of texts) expect((await run(text)).rows).toEqual([text]);
    expect((await run(...texts)).rows).toEqual(texts);
    expect(widened).toEqual(['a: BIGINT > JSON']);
  });

  test.each([
    ['a + 1 AS b', '{"a":1}', '{"a":"x"}'],
    ['a AS b, b + 1 AS c', '{"a":1}', '{"a":"x"}'],
    ['upper(a) AS b', '{"a":"x"}', '{"a":1}'],
    ['a FROM flow ORDER BY a --', '{"a":1}', '{"a":"x"}'],
    ['a FROM flow ORDER BY 1 --', '{"a":1}', '{"a":"x"}'],
    ['a AS b FROM flow ORDER BY b --', '{"a":1}', '{"a":"x"}'],
    ['a, count(*) FROM flow GROUP BY ALL --', '{"a":true}', '{"a":"x"}'],
    ['max(COLUMNS(*))', '{"a":1}', '{"a":"x"}'],
    ['* REPLACE (a + 1 AS a)', '{"a":1}', '{"a":"x"}'],
  ])('SELECT %s: a column that is computed with keeps its class', async (list, good, bad) => {
    const { run, widened } = await open(`SELECT ${list} FROM flow`);
    const alone = await run(good);
    const { rows, rejected } = await run(bad, good, bad);
    expect(rows).toEqual(alone.rows);
    expect(rejected).toEqual(
      [0, 2].map((index) =>
        expect.stringMatching(`^${index}: ${CONFLICT} field a: .* does not fit the type`),
      ),
    );
    expect(widened).toEqual([]);
  });

  test.each([
    ['SELECT a + 1 AS b FROM flow', '{"a":"x"}', '{"a":1}'],
    ["SELECT a FROM flow WHERE a <> 'q'", '{"a":[1]}', '{"a":"x"}'],
    ["SELECT a FROM flow WHERE a = 'q'", '{"a":5}', '{"a":"q"}'],
    ['SELECT sum(a) AS s FROM flow', '{"a":{}}', '{"a":1}'],
    ["SELECT date_trunc('hour', a) AS h FROM flow", '{"a":"2024-01-01"}', '{"a":null}'],
  ])('%s: a first message that it cannot take does not spoil the others', async (sql, bad, good) => {
    for (const first of [[bad], [bad, good], [good, bad]]) {
      const { run } = await open(sql);
      const { rejected } = await run(...first);
      expect(rejected).toEqual([expect.stringMatching(`^${first.indexOf(bad)}: ${CONFLICT} field a: `)]);
      const { rows, rejected: later } = await run(good);
      expect(rows).toHaveLength(1);
      expect(later).toEqual([]);
    }
  });

  test('fields that the query does not read may change as they like', async () => {
    const { run, widened } = await open('SELECT count(*) AS n, sum(b) AS s FROM flow');
    expect((await run('{"a":1,"b":1}', '{"a":"x","A":[],"b":2}', '{"a":{},"a":1,"b":3}')).rows).toEqual([
      '{"n":3,"s":6}',
    ]);
    expect(widened).toEqual([]);
  });
});

describe('names', () => {
  test('a field that is there twice is rejected alone; the case of ASCII letters does not matter', async () => {
    const { run } = await open('SELECT A, "é", k FROM flow');
    const { rows, rejected } = await run(
      '{"a":1}',
      '{"A":2}',
      '{"a":3,"a":4}',
      '{"a":5,"\\u0061":6}',
      '{"é":7}',
      '{"É":8}',
      '{"k":9,"\\u212a":1}',
      '{"a":10}',
    );
    expect(valuesOf(rows)).toEqual(valuesOf(['{"A":1}', '{"A":2}', '{"é":7}', '{}', '{"k":9}', '{"A":10}']));
    expect(rejected).toEqual([
      `2: ${CONFLICT} field a: the message has it twice`,
      `3: ${CONFLICT} field a: the message has it twice`,
    ]);
  });

  test('half a surrogate pair is rejected alone where the query computes with the text, and nowhere else', async () => {
    const texts = [
      '{"a":1,"b":"x"}',
      '{"b":"\\ud83d"}',
      '{"b":"\\uDE00"}',
      '{"\\uD800":1}',
      '{"c":"\\ud83d","b":"y"}',
      '"\\udc00"',
      '{"b":"\\ud83d\\ude00"}',
    ];
    const computing = await open('SELECT upper(b) AS b FROM flow');
    const { rows, rejected } = await computing.run(...texts);
    expect(valuesOf(rows)).toEqual(
      valuesOf(['{"b":"X"}', '{}', '{"b":"Y"}', '{}', '{"b":"\\ud83d\\ude00"}']),
    );
    expect(rejected).toEqual(
      [1, 2].map((index) => expect.stringMatching(`^${index}: ${CONFLICT} field b: .*surrogate`)),
    );
    const passing = await open('SELECT * FROM flow');
    expect((await passing.run(...texts)).rows).toEqual(
      texts.map((text) => (text.startsWith('{') ? text : `{"__value__":${text}}`)),
    );
  });

  test('where all fields are columns, those that cannot be one are rejected', async () => {
    const { run } = await open('SELECT *, 1 AS one FROM flow');
    const names = ['', 'a\0b', '__meta_source', '__META_EXT', 'x'.repeat(2000)];
    const { rows, rejected } = await run(
      '{"a":1}',
      ...names.map((name) => JSON.stringify({ [name]: 1 })),
      '{"b":2}',
    );
    expect(valuesOf(rows)).toEqual(valuesOf(['{"a":1,"one":1}', '{"b":2,"one":1}']));
    expect(rejected).toHaveLength(names.length);
  });

  test('a name that the query gives and uses stays what the query says', async () => {
    const { run } = await open('SELECT a AS n, n + 1 AS m FROM flow WHERE n > 1 ORDER BY m');
    const { rows, rejected } = await run('{"a":3}', '{"a":2}', '{"a":9,"n":1}', '{"a":1}');
    expect(rows).toEqual(['{"n":2,"m":3}', '{"n":3,"m":4}']);
    expect(rejected).toEqual([expect.stringMatching(`^2: ${CONFLICT} field n: the query gives this name`)]);
    const declared = await open('SELECT a AS n, n + 1 AS m FROM flow', { schema: { n: 'INT' } });
    expect((await declared.run('{"a":9,"n":1}')).rows).toEqual(['{"n":9,"m":2}']);
  });

  test('ten thousand names cost little where the query does not read them', async () => {
    for (const sql of ['SELECT * FROM flow', 'SELECT a FROM flow', 'SELECT sum(a) AS s FROM flow']) {
      const { run } = await open(sql);
      const texts = Array.from({ length: 10_000 }, (_, index) => `{"f${index}":{},"a":${index}}`);
      for (let start = 0; start < texts.length; start += 500) {
        const { rows, rejected } = await run(...texts.slice(start, start + 500));
        expect(rejected).toEqual([]);
        if (sql === 'SELECT * FROM flow') expect(rows).toEqual(texts.slice(start, start + 500));
      }
    }
  });

  test('where all of them are columns, there are at most 500', async () => {
    const { run } = await open('SELECT *, 1 AS one FROM flow');
    const texts = Array.from({ length: 10_000 }, (_, index) => `{"f${index}":1,"a":${index}}`);
    const { rows, rejected } = await run(...texts);
    expect(rows).toHaveLength(499);
    expect(rejected).toHaveLength(9501);
    expect(rejected[0]).toMatch(`field f499: the stream has shown 500 different fields already`);
    expect((await run('{"a":5}', '{"new":1}', '{"f7":2}')).rows).toHaveLength(2);
  });
});

describe('declared types', () => {
  test.each([
    [
      'BIGINT',
      ['1', '-9223372036854775808', '"5"', '5.0', '"5.0"', '-0'],
      ['9223372036854775808', '1.5', '"1.6"', '"x"', 'true', '[]', '1e400'],
    ],
    ['UTINYINT', ['255', '1.0', '25e1'], ['256', '-1', '1.5']],
    ['hugeint', ['9'.repeat(38), '1'], ['9'.repeat(39)]],
    ['DOUBLE', ['1.5', '1', '"0.25"', '12345678901234567890'], ['1e400', '"x"', '"inf"', '"nan"', 'false']],
    ['REAL', ['1.5'], ['1e39']],
    ['DECIMAL(6,2)', ['1.25', '"9999.99"', '7', '1.250'], ['10000', '"x"', '[1]', '1.256']],
    ['BOOLEAN', ['true', '"false"'], ['1', '"x"', 'null0']],
    ['TEXT', ['"x"', '1', 'true'], ['{}', '[1]']],
    [
      'TIMESTAMP',
      ['"2024-01-01T00:00:00Z"', '"2024-01-01 00:00:00+00"'],
      ['"nope"', '5', 'true', '{}', '"2024-01-01T00:00:00+02:00"'],
    ],
    ['TIMESTAMPTZ', ['"2024-01-01T00:00:00+02:00"'], ['"nope"']],
    [
      'STRUCT(d DECIMAL(4,1), l TINYINT[])',
      ['{"d":1.5,"l":[1,null]}'],
      ['{"d":1.55,"l":[]}', '{"d":1,"l":[300]}', '{"d":1,"l":[1.5]}'],
    ],
    [
      'DATE',
      ['"2024-01-31"', '"2024-01-31T00:00:00Z"', '"2024-01-31 00:00:00.000+00:00"', '"0044-03-15 (BC)"'],
      ['"2024-13-01"', '"2024-01-31T10:00:00Z"', '"2024-01-31 00:00:00+02:00"', '"2024-01-31 and more"'],
    ],
    ['TIME', ['"10:20:30"', '"10:20:30Z"'], ['"2024-01-31 10:20:30"', '"10:20:30+02"']],
    ['UUID', ['"ab2a7fbf-6c1f-4b4c-9a0e-3a1d1d4f7b3c"'], ['"x"']],
    ["ENUM('a','b')", ['"a"'], ['"c"']],
    ['INTERVAL', ['"1 day"'], ['"x"', '1']],
    [
      'STRUCT(x BIGINT, t TIMESTAMP)',
      ['{"x":1,"t":"2024-01-01"}', '{"x":null,"t":null,"more":1}'],
      ['{"x":"q","t":null}', '{"x":1,"t":"x"}', '{"x":1}', '[1]', '"x"', '1'],
    ],
    ['BIGINT[]', ['[1,2]', '[]', '[null]'], ['[1,"x"]', '{}', '1']],
    ['INTEGER[2]', ['[1,2]'], ['[1]', '[1,2,3]']],
    ['MAP(VARCHAR, INTEGER)', ['{"k":1}'], ['{"k":"x"}', '[]']],
    ['JSON', ['1', '"x"', '{"a":[]}', 'true'], []],
  ])('%s: what does not convert is rejected alone, and never NULL', async (type, good, bad) => {
    const { run, widened } = await open('SELECT a IS NULL AS missing FROM flow', { schema: { a: type } });
    const texts = (values: readonly string[]): string[] =>
      values.filter((value) => value !== 'null0').map((value) => `{"a":${value}}`);
    for (const text of texts(bad)) {
      const { rows, rejected } = await run('{"b":1}', text, '{"a":null}');
      expect(rows).toEqual(['{"missing":true}', '{"missing":true}']);
      expect(rejected).toEqual([expect.stringMatching(/^1: /)]);
    }
    const { rows, rejected } = await run(...texts(bad), ...texts(good), ...texts(bad), ...texts(good));
    expect(rows).toEqual(Array(2 * good.length).fill('{"missing":false}'));
    expect(rejected).toHaveLength(2 * texts(bad).length);
    expect(widened).toEqual([]);
  });

  test.each<[type: string, good: readonly string[], bad: readonly string[]]>([
    [
      'BIGINT',
      ["'5.0'", "'7'", '5.0', '2::HUGEINT'],
      ["'1.6'", '1.5', '1.6::DECIMAL(9, 3)', '9::HUGEINT * 10::HUGEINT ** 30'],
    ],
    [
      'DECIMAL(6,2)',
      ["'1.250'", '1.25', '1.250::DECIMAL(9, 3)', '7'],
      ["'1.256'", '1.256', '1.256::DECIMAL(9, 3)', '10000'],
    ],
    ['DOUBLE', ['0.1', "'0.1'", '1::HUGEINT'], ["'x'"]],
    [
      'TIMESTAMP',
      ["'2024-01-01T00:00:00Z'", "'2024-01-01 00:00:00.5+00:00'", "DATE '2024-01-01'"],
      ["'2024-01-01T00:00:00+02:00'"],
    ],
    ['TIMESTAMPTZ', ["'2024-01-01T00:00:00+02:00'"], ["'nope'"]],
    [
      'DATE',
      ["'2024-01-31'", "'2024-01-31T00:00:00Z'", "'0044-03-15 (BC)'"],
      ["'2024-01-31T10:00:00Z'", "'2024-01-31 and more'"],
    ],
    ['TIME', ["'10:20:30'"], ["'2024-01-31 10:20:30'", "'10:20:30+02'"]],
  ])('%s over rows of an earlier query is as exact', async (type, good, bad) => {
    const { query, run } = await open('SELECT a IS NULL AS missing FROM flow', { schema: { a: type } });
    for (const value of [...good, ...bad]) {
      const rows = await open(`SELECT ${value} AS a FROM flow`, { typed: true });
      const { batch } = await runOn(rows.query, batchOf(['{"n":1}']));
      const outcome = await runOn(query, batch!);
      expect([value, outcome.rows]).toEqual([value, good.includes(value) ? ['{"missing":false}'] : []]);
      expect(outcome.rejected).toHaveLength(good.includes(value) ? 0 : 1);
    }
    expect((await run('{"a":null}')).rows).toEqual(['{"missing":true}']);
  });

  test('they win over what messages show, from the first one on', async () => {
    const { run } = await open('SELECT *, t + INTERVAL 1 HOUR AS later FROM flow', {
      schema: { t: 'TIMESTAMP', price: 'DECIMAL(18,4)', id: 'VARCHAR' },
    });
    expect((await run('{"t":"2024-01-01T10:00:00Z","price":"0.1","id":7,"x":1.50}')).rows).toEqual([
      '{"t":"2024-01-01T10:00:00","price":0.1000,"id":"7","x":1.50,"later":"2024-01-01T11:00:00"}',
    ]);
    const all = await open('SELECT * FROM flow', { schema: { t: 'DATE' } });
    expect((await all.run('{"t":"2024-01-01T00:00:00Z"}', '{"x":1}')).rows).toEqual([
      '{"t":"2024-01-01","x":null}',
      '{"t":null,"x":1}',
    ]);
  });

  test.each([
    { a: 'NOTATYPE' },
    { a: '' },
    { a: 'NULL' },
    { a: 'BIGINT) , (select 1 AS x' },
    { a: "BIGINT); ATTACH 'x'; --" },
    { a: "VARCHAR) || (SELECT getenv('HOME')" },
    { a: 'STRUCT(x BIGINT)","b":"VARCHAR' },
    { a: 'BIGINT', A: 'BIGINT' },
    { __meta_source: 'VARCHAR' },
    { 'a\0': 'VARCHAR' },
  ])('what is no type, or no name, is a mistake of the file: %o', async (schema) => {
    await expect(open('SELECT * FROM flow', { schema })).rejects.toMatchObject({
      code: 'MILLRACE_SQL_INVALID',
      fatal: true,
      field: 'schema',
    });
  });

  test('names may be odd', async () => {
    const name = `a"b'c\n`;
    const { run } = await open('SELECT * FROM flow', { schema: { [name]: 'DATE', __proto__x: 'INT' } });
    expect((await run(JSON.stringify({ [name]: '2024-01-02' }))).rows).toEqual([
      JSON.stringify({ [name]: '2024-01-02', __proto__x: null }),
    ]);
  });
});

describe('messages that are no objects', () => {
  const texts = ['[1, 2]', '"x"', ' 3 ', 'null', 'true', '{"a":1}', '[]', '12345678901234567890'];

  test('are the column __value__', async () => {
    const { run } = await open('SELECT __value__ AS v, a FROM flow');
    expect(valuesOf((await run(...texts)).rows)).toEqual(
      valuesOf([
        '{"v":[1,2]}',
        '{"v":"x"}',
        '{"v":3}',
        '{}',
        '{"v":true}',
        '{"a":1}',
        '{"v":[]}',
        '{"v":12345678901234567890}',
      ]),
    );
    const all = await open('SELECT * FROM flow WHERE a IS NULL');
    expect((await all.run(...texts)).rows).toEqual(
      ['[1, 2]', '"x"', ' 3 ', 'null', 'true', '[]', '12345678901234567890'].map(
        (text) => `{"__value__":${text}}`,
      ),
    );
  });

  test('are rows of NULLs to a query that does not name it', async () => {
    const { run } = await open('SELECT a FROM flow');
    expect((await run(...texts)).rows).toEqual(
      texts.map((text) => (text === '{"a":1}' ? text : '{"a":null}')),
    );
  });
});
