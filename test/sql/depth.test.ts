import { describe, expect, test } from 'vitest';
import { batchOf, open, runOn } from './support.ts';

const arrays = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
const objects = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth);
const message = (body: string): string => JSON.stringify({ id: 'x', body });

// Without a bound, each of these ends the process with signal 11, runs for minutes or takes gigabytes.
const queries = [
  "SELECT id FROM flow WHERE NOT json_contains(body, '7')",
  "SELECT id FROM flow WHERE NOT json_contains('7', body)",
  'SELECT id, json_merge_patch(body, body) IS NULL AS m FROM flow',
  'SELECT id, json_merge_patch(\'{"a":1}\', body) IS NULL AS m FROM flow',
  'SELECT id, json_structure(body) IS NULL AS s FROM flow',
  'SELECT id, body::JSON::VARIANT IS NULL AS v FROM flow',
  'SELECT id, length(json_pretty(body)) > 0 AS p FROM flow',
  "SELECT id, len(json_extract(body, '$..a')) AS n FROM flow",
  "SELECT id, (body->'$..a') IS NULL AS n FROM flow",
  'SELECT id, (SELECT count(*) FROM json_tree(body)) AS n FROM flow',
  'SELECT id, (SELECT count(*) FROM json_each(body)) AS n FROM flow',
  'SELECT id, len(json_keys(body)) AS n FROM flow',
  "SELECT id, json_structure(unnest(from_json('[' || body || ']', '[\"JSON\"]'))) IS NULL AS s FROM flow",
  'SELECT id, json_structure(try_cast(body AS JSON)) IS NULL AS s FROM flow',
];

describe.each(queries)('%s', (sql) => {
  test('a message whose text is nested too deeply is rejected alone', async () => {
    const { run } = await open(sql);
    const good = message('{"a":[1]}');
    const deep = [
      message(arrays(200_000)),
      message(objects(95_000)),
      message(arrays(200_000)).replaceAll('[', '\\u005b'),
      message(JSON.stringify({ a: arrays(200_000) })),
    ];
    const alone = (await run(good)).rows;
    const { rows, rejected } = await run(good, ...deep, good);
    expect(rows).toEqual([...alone, ...alone]);
    expect(rejected).toEqual(
      deep.map(
        (_, index) =>
          `${index + 1}: MILLRACE_SQL_TEXT_TOO_DEEP the message is or holds text whose brackets are nested deeper than 512 levels, and the query reads JSON from text`,
      ),
    );
  });
});

test.each(['text', 'bytes'] as const)('a payload that is %s', async (format) => {
  const value = format === 'text' ? '__value__' : 'decode(__value__)';
  const { query } = await open(`SELECT json_contains(${value}, '1') AS c FROM flow`);
  const texts = ['[1]', arrays(400_000), objects(95_000), objects(500), '[2]'];
  const { rows, rejected } = await runOn(query, batchOf(texts, { format }));
  expect(rows).toEqual(['{"c":true}', '{"c":true}', '{"c":false}']);
  expect(rejected.map((each) => each.slice(0, 29))).toEqual(
    [1, 2].map((index) => `${index}: MILLRACE_SQL_TEXT_TOO_DEEP`),
  );
});

test('a piece of a payload', async () => {
  const { query } = await open("SELECT json_contains(substr(__value__, 7)::JSON, '1') AS c FROM flow");
  const texts = ['data: [1]', `data: ${arrays(400_000)}`, `data: ${objects(512)}`];
  const { rows, rejected } = await runOn(query, batchOf(texts, { format: 'text' }));
  expect(rows).toHaveLength(2);
  expect(rejected).toEqual([expect.stringMatching(/^1: MILLRACE_SQL_TEXT_TOO_DEEP/)]);
});

test('as deep as a message may be, text may be', async () => {
  for (const sql of queries) {
    const { run } = await open(sql);
    const { rejected } = await run(message(arrays(512)), message(objects(512)));
    expect(rejected.filter((each) => each.includes('TOO_DEEP'))).toEqual([]);
  }
});

test('a query that reads no JSON from text passes on what it is given', async () => {
  for (const sql of [
    'SELECT id, body FROM flow',
    "SELECT * FROM flow WHERE id = 'x'",
    'SELECT id, body, 1 AS one FROM flow',
  ]) {
    const { run } = await open(sql);
    const { rows, rejected } = await run(message(arrays(5000)));
    expect(rejected).toEqual([]);
    expect(rows[0]).toContain(arrays(5000));
  }
});
