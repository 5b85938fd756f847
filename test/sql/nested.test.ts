import { describe, expect, test } from 'vitest';
import { open, valuesOf } from './support.ts';

const messages = [
  '{"id":1,"commit":{"operation":"create","seq":2,"record":{"text":"x%y","n":1.10}},"l":[5,"six",[7]]}',
  '{"id":2,"commit":{"operation":"delete","seq":10},"l":[]}',
  '{"id":3,"commit":null,"l":[0.30000000000000000001]}',
  '{"id":4}',
];

describe('a path that the query names is a value with a type', () => {
  test.each<[string, string[]]>([
    ["SELECT id FROM flow WHERE commit.operation = 'create'", ['{"id":1}']],
    ["SELECT id FROM flow WHERE flow.commit.operation <> 'create'", ['{"id":2}']],
    ["SELECT f.id FROM flow AS f WHERE f.commit['operation'] = 'create'", ['{"id":1}']],
    ["SELECT id FROM flow WHERE commit.record.text LIKE 'x%'", ['{"id":1}']],
    ['SELECT max(commit.seq) AS m, sum(commit.seq + 1) AS s FROM flow', ['{"m":10,"s":14}']],
    ['SELECT id FROM flow WHERE commit.seq > 9', ['{"id":2}']],
    ['SELECT id FROM flow ORDER BY commit.seq DESC NULLS LAST, id LIMIT 2', ['{"id":2}', '{"id":1}']],
    [
      'SELECT commit.operation AS o, count(*) AS n FROM flow GROUP BY commit.operation ORDER BY o NULLS LAST',
      ['{"o":"create","n":1}', '{"o":"delete","n":1}', '{"o":null,"n":2}'],
    ],
    ["SELECT id FROM flow WHERE commit->>'seq' = '10'", ['{"id":2}']],
    ["SELECT id FROM flow WHERE commit->'record'->>'n' = '1.10'", ['{"id":1}']],
    ["SELECT id FROM flow WHERE commit->>'$.record.text' = 'x%y'", ['{"id":1}']],
    ['SELECT id FROM flow WHERE len(l || [9]) = 2', ['{"id":3}']],
    ['SELECT id FROM flow WHERE l[1] IS NOT NULL', ['{"id":1}', '{"id":3}']],
    ['SELECT l->>1 AS s FROM flow WHERE l[3][1] = 7', ['{"s":"six"}']],
    [
      'WITH x AS (SELECT id, commit.operation FROM flow) SELECT id FROM x WHERE operation IS NULL ORDER BY id',
      ['{"id":3}', '{"id":4}'],
    ],
    ['SELECT x.commit.seq AS s, y.id FROM flow x JOIN flow y ON x.commit.seq = y.id', ['{"s":2,"id":2}']],
  ])('%s', async (sql, expected) => {
    const { run } = await open(sql);
    for (const batch of [messages, messages]) {
      const { rows, rejected } = await run(...batch);
      expect(rejected).toEqual([]);
      expect(rows).toEqual(expected);
    }
  });

  test('columns have the names that DuckDB gives them', async () => {
    const { run } = await open(
      "SELECT commit.seq, commit->>'operation', l[1], commit.seq + 1, upper(commit.operation), (commit).record.n FROM flow WHERE id = 1",
    );
    expect((await run(...messages)).rows).toEqual([
      `{"seq":2,"(\\"commit\\" ->> 'operation')":"create","l[1]":5,"(\\"commit\\".seq + 1)":3,"upper(\\"commit\\".operation)":"CREATE","((\\"commit\\").record).n":1.10}`,
    ]);
  });

  test('one that is passed on keeps its spelling, and so does a whole field', async () => {
    const { run } = await open(
      "SELECT commit.record, commit->'record' AS r, l, l[1] AS first, id + 0 AS id FROM flow",
    );
    expect((await run(...messages)).rows).toEqual([
      '{"record":{"text":"x%y","n":1.10},"r":{"text":"x%y","n":1.10},"l":[5,"six",[7]],"first":5,"id":1}',
      '{"record":null,"r":null,"l":[],"first":null,"id":2}',
      '{"record":null,"r":null,"l":[0.30000000000000000001],"first":0.30000000000000000001,"id":3}',
      '{"record":null,"r":null,"l":null,"first":null,"id":4}',
    ]);
  });

  test('its class is that which most senders give it', async () => {
    const { run, widened } = await open('SELECT d.n + 1 AS n FROM flow');
    const { rows, rejected } = await run(
      '{"d":{"n":1}}',
      '{"d":{"n":"x"}}',
      '{"d":{"n":2.5}}',
      '{"d":[1]}',
      '{"d":7}',
    );
    expect(valuesOf(rows)).toEqual(valuesOf(['{"n":2}', '{"n":3.5}', '{}', '{}']));
    expect(rejected).toEqual([
      expect.stringMatching(/^1: MILLRACE_SQL_FIELD_CONFLICT field d\.n: a string does not fit the type/),
    ]);
    expect(widened).toEqual([]);
  });

  test('text in a field is read as JSON of its own, if most senders have text there', async () => {
    const { run } = await open("SELECT body->>'id' AS id FROM flow");
    expect((await run('{"body":"{\\"id\\":1}"}', '{"body":"{}"}')).rows).toEqual([
      '{"id":"1"}',
      '{"id":null}',
    ]);
    const objects = await open("SELECT body->>'id' AS id FROM flow");
    const { rows, rejected } = await objects.run(
      '{"body":{"id":1}}',
      '{"body":{"id":2}}',
      '{"body":"{\\"id\\":3}"}',
    );
    expect(rows).toEqual(['{"id":"1"}', '{"id":"2"}']);
    expect(rejected).toEqual([expect.stringMatching(/^2: MILLRACE_SQL_FIELD_CONFLICT field body: a string/)]);
  });

  test('a declared column keeps its type', async () => {
    const { run } = await open('SELECT d.n + 1 AS n, d FROM flow', { schema: { d: 'STRUCT(n BIGINT)' } });
    expect((await run('{"d":{"n":1}}')).rows).toEqual(['{"n":2,"d":{"n":1}}']);
  });

  test('a mistake in a query with paths has its place in the query as it was written', async () => {
    await expect(
      open('SELECT commit.seq, l[1]\nFROM flow WHERE commit.seq > 1 AND nofn(id)'),
    ).rejects.toThrow(/nofn does not exist.* \(line 2, column 36 of the query\)/);
    const { run } = await open(
      "SELECT id, commit.record.text, (commit->>'operation')::INTEGER AS i FROM flow",
    );
    expect((await run(messages[0]!)).rejected).toEqual([
      expect.stringMatching(
        /^0: .*Could not convert string 'create' to INT32.* \(line 1, column 54 of the query\)/,
      ),
    ]);
  });
});

describe('a field that is taken apart as a whole', () => {
  const feed = [
    '{"id":1,"tags":["x","y"],"e":{"n":2,"o":{"p":1.5}},"items":[{"a":1},{"a":2,"b":"z"}]}',
    '{"id":2,"tags":[],"e":{"n":10,"q":1},"items":[]}',
    '{"id":3}',
  ];
  test.each<[string, string[]]>([
    [
      "SELECT len(tags) AS n, 'x' IN tags AS has FROM flow",
      ['{"n":2,"has":true}', '{"n":0,"has":false}', '{"n":null,"has":null}'],
    ],
    ['SELECT id, unnest(tags) AS tag FROM flow', ['{"id":1,"tag":"x"}', '{"id":1,"tag":"y"}']],
    [
      'SELECT id, i.a + 1 AS a, i.b FROM (SELECT id, unnest(items) AS i FROM flow)',
      ['{"id":1,"a":2,"b":null}', '{"id":1,"a":3,"b":"z"}'],
    ],
    ['SELECT id, u.x.a FROM flow, unnest(flow.items) AS u(x)', ['{"id":1,"a":1}', '{"id":1,"a":2}']],
    ['SELECT max(f.e.n) AS m, max(f.e.gone) AS g FROM (SELECT e FROM flow) f', ['{"m":10,"g":null}']],
    [
      'WITH x AS (SELECT e AS g FROM flow) SELECT max(g.n) AS m, max(g.o.p) AS p FROM x',
      ['{"m":10,"p":1.5}'],
    ],
    [
      'SELECT list_transform(items, lambda i: i.a) AS l, items FROM flow WHERE len(items) > 0',
      ['{"l":[1,2],"items":[{"a":1},{"a":2,"b":"z"}]}'],
    ],
    ['SELECT tags[1:1] AS t FROM flow WHERE id = 1', ['{"t":["x"]}']],
    ['SELECT json_array_length(tags) AS n FROM flow WHERE id = 1', ['{"n":2}']],
  ])('%s', async (sql, expected) => {
    for (const order of [feed, feed.toReversed()]) {
      const { run } = await open(sql);
      await run(...order);
      const { rows, rejected } = await run(...feed);
      expect(rejected).toEqual([]);
      expect(rows).toEqual(expected);
    }
  });

  test('is a list of JSON where its items have nothing in common, and a message that the query cannot take so is rejected alone', async () => {
    const { run } = await open('SELECT len(tags) AS n FROM flow');
    expect((await run('{"tags":[1,"x",{}]}', '{"tags":[1]}')).rows).toEqual(['{"n":3}', '{"n":1}']);
    const sums = await open('SELECT list_sum(tags) AS s FROM flow');
    expect((await sums.run('{"tags":[1,2]}')).rows).toEqual(['{"s":3}']);
    const { rows, rejected } = await sums.run('{"tags":[4]}', '{"tags":["x"]}', '{"tags":[5]}');
    expect(rows).toEqual(['{"s":4}', '{"s":5}']);
    expect(rejected).toEqual([expect.stringMatching(/^1: MILLRACE_SQL_FIELD_CONFLICT field tags: /)]);
  });
});

test('fields that are only passed on stay as they are spelled, beside those that are computed with', async () => {
  const sent =
    '{"price":1.10,"big":12345678901234567890123456789012345678901234567890,"s":"\\u00e9\\/","n": 1 ,"o":{ "a" : [1e5] }}';
  for (const sql of [
    'SELECT price, big, s, n, o, n + 1 AS m FROM flow',
    'SELECT *, n + 1 AS m FROM flow',
    'SELECT price, big, s, n, o, n + 1 AS m FROM flow ORDER BY price LIMIT 1',
    'SELECT price, big, s, n, o, n + row_number() OVER () AS m FROM flow WHERE price > 1',
  ]) {
    const { run } = await open(sql);
    for (let round = 0; round < 2; round++) {
      const { rows, rejected } = await run(sent);
      expect(rejected).toEqual([]);
      expect(rows[0]!.replaceAll(' ', '')).toBe(`${sent.replaceAll(' ', '').slice(0, -1)},"m":2}`);
    }
  }
});

test.each(['{"tags":{"a":1}}', '{"tags":"xyz"}', '{"tags":7}'])(
  'a message with %s among lists is rejected alone, and null is NULL',
  async (odd) => {
    const { run } = await open('SELECT len(tags) AS l FROM flow');
    const { rows, rejected } = await run('{"tags":["a"]}', odd, '{"tags":null}', '{"tags":["b","c"]}');
    expect(rows).toEqual(['{"l":1}', '{"l":null}', '{"l":2}']);
    expect(rejected).toHaveLength(1);
  },
);
