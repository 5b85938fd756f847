import { expect, test } from 'vitest';
import { open, runOn, batchOf } from './support.ts';

const COUNT = 6000;

/** Messages of one sender: of each hundred, the first is good. */
function messages(good: (n: number) => string, bad: (n: number) => string): string[] {
  return Array.from({ length: COUNT }, (_, n) => (n % 100 === 0 ? good(n) : bad(n)));
}

const bad = Array.from({ length: COUNT }, (_, n) => n).filter((n) => n % 100 !== 0);

// Looked for one by one, as many as these are not found in the time that a search has.
test.each([
  ['DOUBLE', '1.5', '"x"', '"x" does not convert to the declared type DOUBLE'],
  ['INTEGER', '"7"', '12345678901', '12345678901 is not within the range of the declared type INTEGER'],
  ['DATE', '"2024-01-01"', '"2024-02-31"', '2024-02-31 does not convert to the declared type DATE'],
  ['FLOAT', '2', '"no"', '"no" does not convert to the declared type FLOAT'],
])(
  'thousands of values that do not convert to %s are found at once, each with its field and value',
  async (type, good, wrong, reason) => {
    const { query } = await open('SELECT t FROM flow', { schema: { t: type } });
    const texts = messages(
      () => `{"t":${good}}`,
      () => `{"t":${wrong}}`,
    );
    const { rows, rejections } = await runOn(query, batchOf(texts));
    expect(rows).toHaveLength(COUNT - bad.length);
    expect(rejections.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(bad);
    for (const { error, field } of rejections) {
      expect([error.code, error.message, field]).toEqual([
        'MILLRACE_SQL_FIELD_CONFLICT',
        `field t: ${reason}`,
        't',
      ]);
    }
  },
);

test.each([
  ['a list', { t: 'INTEGER[]' }, 'SELECT t FROM flow', '[1]', '["x"]'],
  ['a number that is too large', { t: 'DOUBLE' }, 'SELECT t FROM flow', '1', '1e400'],
])('so is %s', async (_, schema, sql, good, wrong) => {
  const { run } = await open(sql, { schema });
  const { rows, rejected } = await run(
    ...messages(
      () => `{"t":${good}}`,
      () => `{"t":${wrong}}`,
    ),
  );
  expect(rows).toHaveLength(COUNT - bad.length);
  expect(rejected).toHaveLength(bad.length);
  expect(rejected.join()).not.toContain('UNRESOLVED');
});

test.each([
  'SELECT CAST(a AS INTEGER) AS i FROM flow',
  'SELECT f.b, CAST(f.a AS INTEGER) AS i FROM flow AS f WHERE f.b >= 0',
  'SELECT sum(CAST(a AS INTEGER)) OVER () AS i FROM flow',
  'SELECT b, max(CAST(a AS INTEGER) + 1) AS i FROM flow GROUP BY b',
  'SELECT b FROM flow WHERE CAST(a AS INTEGER) > 0',
  'SELECT *, CAST(a AS INTEGER) AS i FROM flow',
  'SELECT a, __meta_source AS s, CAST(a AS INTEGER) AS i FROM flow',
])('thousands of messages that a query fails on are found at once: %s', async (sql) => {
  const { run } = await open(sql);
  const { rows, rejected } = await run(
    ...messages(
      (n) => `{"a":"1","b":${n}}`,
      (n) => `{"a":"x","b":${n}}`,
    ),
  );
  expect(rows).toHaveLength(COUNT - bad.length);
  expect(rejected.map((each) => Number.parseInt(each, 10))).toEqual(bad);
  expect(
    rejected.every((each) => /MILLRACE_PROCESSOR_FAILED .*Could not convert string 'x'/.test(each)),
  ).toBe(true);
});

test('what the query leaves out is not to blame for what it would have been', async () => {
  const { run } = await open("SELECT CAST(a AS INTEGER) AS i FROM flow WHERE kind = 'number'");
  const { rows, rejected } = await run(
    '{"kind":"number","a":"1"}',
    '{"kind":"text","a":"one"}',
    '{"kind":"number","a":"two"}',
    '{"kind":"text","a":"three"}',
  );
  expect(rows).toEqual(['{"i":1}']);
  expect(rejected).toEqual([expect.stringMatching(/^2: /)]);
});

test('a query whose tree cannot be written back is searched as before', async () => {
  const { run } = await open('SELECT CAST(a AS INTEGER) + 12345678901234567890 AS i FROM flow');
  const { rows, rejected } = await run('{"a":"1"}', '{"a":"x"}', '{"a":"2"}');
  expect(rows).toHaveLength(2);
  expect(rejected).toEqual([expect.stringMatching(/^1: /)]);
});
