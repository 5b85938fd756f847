import { describe, expect, test } from 'vitest';
import { open } from './support.ts';

const feed = ['{"e":"trade","E":123,"p":1.10,"__row__":7}', '{"e":"x","E":5}'];

describe('fields whose names differ only in case', () => {
  test.each<[string, string[]]>([
    ["SELECT e, E FROM flow WHERE e = 'trade'", ['{"e":"trade","E":123}']],
    ['SELECT e FROM flow WHERE E > 10', ['{"e":"trade"}']],
    [
      'SELECT E, e, E + 1 AS f FROM flow ORDER BY E',
      ['{"E":5,"e":"x","f":6}', '{"E":123,"e":"trade","f":124}'],
    ],
    ['SELECT DISTINCT e, E FROM flow ORDER BY E', ['{"e":"x","E":5}', '{"e":"trade","E":123}']],
    ['SELECT E, count(*) AS n FROM flow GROUP BY E, e ORDER BY E', ['{"E":5,"n":1}', '{"E":123,"n":1}']],
    ['SELECT * FROM flow WHERE E > 10', feed.slice(0, 1)],
    [
      'SELECT *, upper(e) AS u FROM flow',
      [
        '{"e":"trade","p":1.10,"__row__":7,"E":123,"u":"TRADE"}',
        '{"e":"x","p":null,"__row__":null,"E":5,"u":"X"}',
      ],
    ],
    [
      'SELECT *, 1 AS one FROM flow',
      [
        '{"e":"trade","E":123,"p":1.10,"__row__":7,"one":1}',
        '{"e":"x","E":5,"p":null,"__row__":null,"one":1}',
      ],
    ],
  ])('%s', async (sql, expected) => {
    const { run } = await open(sql);
    for (let round = 0; round < 2; round++) {
      const { rows, rejected } = await run(...feed);
      expect(rejected).toEqual([]);
      expect(rows.toSorted()).toEqual(expected.toSorted());
    }
  });
});

describe('a row as one value', () => {
  const rows = ['{"e":"trade","p":1.10}', '{"e":"x","p":null}'];
  test.each<[string, string[]]>([
    ['SELECT flow FROM flow', rows.map((row) => `{"flow":${row}}`)],
    ['SELECT f AS r FROM flow AS f', rows.map((row) => `{"r":${row}}`)],
    ['SELECT list(flow) AS l FROM flow', [`{"l":[${rows.join(',')}]}`]],
    ["SELECT to_json(flow) AS j FROM flow WHERE e = 'x'", ['{"j":{"e":"x","p":null}}']],
    ["SELECT to_json(flow)->>'e' AS e FROM flow", ['{"e":"trade"}', '{"e":"x"}']],
  ])('%s', async (sql, expected) => {
    const { run } = await open(sql);
    const result = await run('{"e":"trade","p":1.10}', '{"e":"x"}');
    expect(result).toMatchObject({ rows: expected, rejected: [] });
  });

  test.each([
    'SELECT *, * FROM flow',
    'SELECT * FROM flow a JOIN flow b ON true',
    'SELECT * FROM (SELECT * FROM flow a JOIN flow b ON true) JOIN flow c ON true',
    'SELECT to_json(flow) AS j, __meta_source AS s FROM flow',
    'SELECT list(flow) AS l, max(__meta_ingest_time) AS t FROM flow',
  ])('%s has no metadata in its payload', async (sql) => {
    const { run } = await open(sql);
    const { rows: found, rejected } = await run('{"a":1}');
    expect(rejected).toEqual([]);
    expect(found).toHaveLength(1);
    expect(found[0]).not.toContain('__meta');
    expect(found[0]).not.toContain('__row');
  });
});

test('unnest keeps the rows of a message together, in the order of messages', async () => {
  const { run } = await open('SELECT id, unnest(l) AS v, unnest([1, 2]) AS w FROM flow');
  const texts = Array.from({ length: 3000 }, (_, id) => `{"id":${id},"l":[1,2,3]}`);
  const { rows } = await run(...texts);
  expect(rows).toEqual(
    texts.flatMap((_, id) => [1, 2, 3].map((v) => `{"id":${id},"v":${v},"w":${v < 3 ? v : 'null'}}`)),
  );
});

test('a payload of more than 8 MB with NaN is a row', async () => {
  const { run } = await open("SELECT 'NaN' || s AS s, sqrt(-n::DOUBLE) * 0 + 1e308 * 10 AS n FROM flow", {
    schema: { n: 'DOUBLE' },
  });
  const { rows, rejected } = await run(`{"s":"${'NaN '.repeat(2_200_000)}","n":0}`);
  expect(rejected).toEqual([]);
  expect(rows[0]!.endsWith('NaN ","n":null}')).toBe(true);
});
