import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Run } from '../../src/message/batch.ts';
import { batchOf, open, runOn, values, valuesOf } from './support.ts';

const names = [
  'a',
  'b',
  'a.b',
  'q"uote',
  "apos'trophe",
  'back\\slash',
  '__proto__',
  'constructor',
  'é',
  'É',
  '😀',
  ' ',
  'line\nbreak',
  'select',
  '1',
  'K',
  '*',
  'm',
  'i',
  'r',
  's',
  't',
  'e',
  'l',
  'v',
  ';--',
  '$1',
];
const scalar = fc.oneof(
  fc.constantFrom(
    'null',
    'true',
    'false',
    '0',
    '-0',
    '-0.0',
    '1e5',
    '1E-7',
    '5e-324',
    '1.7976931348623157e308',
    '9007199254740993',
    '-9223372036854775808',
    '18446744073709551615',
    '9'.repeat(38),
    `-${'9'.repeat(38)}`,
    '9'.repeat(60),
  ),
  fc.integer().map(String),
  fc.bigInt({ min: -(10n ** 37n), max: 10n ** 37n }).map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify(text)),
  fc.constantFrom(
    '""',
    '"\\u0000"',
    '"a\\nb"',
    '"\\ud83d\\ude00"',
    '"NaN Infinity"',
    '"},{"',
    '"\\"],[\\""',
    '"\u2028"',
    '"\\/"',
  ),
);
const space = fc.constantFrom('', '', '', ' ', '\n', '\t \r\n');
const json = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(' , ')}]`),
    fc
      .uniqueArray(fc.tuple(fc.constantFrom('', ...names), tie('value')), {
        maxLength: 4,
        selector: ([name]) => name,
      })
      .map((members) => `{${members.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(',')}}`),
  ),
})).value;
const object = (name: fc.Arbitrary<string>, value: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .uniqueArray(fc.tuple(name, space, value, space), { maxLength: 8, selector: ([each]) => each })
    .map(
      (members) =>
        `{${members.map(([each, before, text, after]) => `${after}${JSON.stringify(each)}${before}:${before}${text}${after}`).join(',')}}`,
    );
const messages = fc.array(object(fc.constantFrom(...names), json), { minLength: 1, maxLength: 12 });

/** Cuts a batch into runs of several sessions, some with numbers and some without. */
const runsFor = (length: number, seed: number): Run[] => {
  const runs: Run[] = [];
  for (let start = 0; start < length; start += 1 + ((seed + start) % 4)) {
    const numbered = (seed + start) % 3 > 0;
    runs.push({
      start,
      origin: {
        source: `ws://${seed % 2}`,
        ext: { session_id: `s"${start}`, ...(start % 2 === 0 && { path: '/é' }) },
      },
      time: 1_700_000_000_000_000 + seed + start,
      ...(numbered && { sequence: seed + start, messageType: 'text' as const }),
    });
  }
  return runs;
};

describe('all fields', () => {
  test('SELECT * gives the messages byte for byte, in order, with their metadata', async () => {
    await fc.assert(
      fc.asyncProperty(messages, fc.nat(1000), async (texts, seed) => {
        const { query } = await open('SELECT * FROM flow;');
        const batch = batchOf(texts, { runs: runsFor(texts.length, seed) });
        const result = await runOn(query, batch);
        expect(result.rejected).toEqual([]);
        expect(result.rows).toEqual(texts);
        for (const index of texts.keys())
          expect(result.batch!.metadata(index)).toEqual(batch.metadata(index));
      }),
      { numRuns: 20 },
    );
  });

  test.each([
    'SELECT *, 1 AS "added" FROM flow',
    'SELECT * FROM (SELECT *, 1 AS "added" FROM flow)',
    'WITH x AS (SELECT * FROM flow) SELECT *, 1 AS "added" FROM (FROM x UNION ALL FROM x WHERE false)',
    'SELECT 1 AS added, COLUMNS(*) FROM flow ORDER BY __meta_ingest_time',
  ])('%s gives rows of equal values, in order, with their metadata', async (sql) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(messages, { minLength: 1, maxLength: 3 }),
        fc.nat(1000),
        async (batches, seed) => {
          const { query } = await open(sql);
          for (const texts of batches) {
            const runs = runsFor(texts.length, seed);
            const batch = batchOf(texts, { runs });
            const result = await runOn(query, batch);
            expect(result.rejected).toEqual([]);
            const expected = valuesOf(texts) as Map<string, unknown>[];
            expect(valuesOf(result.rows)).toEqual(
              expected.map((row) => new Map([...row, ['added', 'number 1']])),
            );
            for (const index of texts.keys())
              expect(result.batch!.metadata(index)).toEqual(batch.metadata(index));
          }
        },
      ),
      { numRuns: 12 },
    );
  });

  test('fields that are passed on by name keep their values', async () => {
    const listed = names.map((name) => `"${name.replaceAll('"', '""')}"`).join(', ');
    await fc.assert(
      fc.asyncProperty(messages, messages, async (first, second) => {
        const { query } = await open(`SELECT ${listed} FROM flow`);
        for (const texts of [first, second]) {
          const { rows, rejected } = await runOn(query, batchOf(texts));
          expect(rejected).toEqual([]);
          expect(valuesOf(rows)).toEqual(valuesOf(texts));
        }
      }),
      { numRuns: 12 },
    );
  });
});

describe('a batch and its messages alone', () => {
  const value = fc.oneof(scalar, fc.constantFrom('[1]', '{"x":1}', '"5"', '7', '2.5'));
  const mixed = fc.array(object(fc.constantFrom('a', 'b', 's', 'A', '__meta_source', 'z'), value), {
    minLength: 1,
    maxLength: 8,
  });

  test.each([
    'SELECT a, b + 1 AS c, upper(s) AS u FROM flow',
    'SELECT *, b * 2 AS c FROM flow WHERE b > 3 OR s IS NULL',
    'SELECT * FROM flow WHERE a = 7',
    'SELECT a AS n, n + 1 AS m, CAST(s AS INTEGER) AS i FROM flow',
    'SELECT f.a, g.x FROM flow f, LATERAL (SELECT f.b AS x) g',
    "SELECT a->>'x' AS x, s FROM flow WHERE s <> 'q'",
  ])(
    '%s: the same rows and the same rejections',
    async (sql) => {
      await fc.assert(
        fc.asyncProperty(mixed, async (texts) => {
          // Reasons name the column's type, which the rest of the batch may have widened.
          const reason = (rejected: string): string =>
            rejected.replace(/(FAILED|CONFLICT field \w+).*/, '$1');
          const whole = await open(sql);
          const alone = await open(sql);
          // Where nothing is known yet, it is most of a batch that says what a column is.
          const known = Array<string>(40).fill('{"a":1,"b":1,"s":"s"}');
          for (const { run } of [whole, alone]) await run(...known);
          const together = await whole.run(...texts);
          const rows: string[] = [];
          const rejected: string[] = [];
          for (const [index, text] of texts.entries()) {
            const result = await alone.run(text);
            rows.push(...result.rows);
            rejected.push(...result.rejected.map((each) => reason(each.replace(/^0/, String(index)))));
          }
          expect(together.rejected.map(reason)).toEqual(rejected);
          expect(valuesOf(together.rows)).toEqual(valuesOf(rows));
        }),
        { numRuns: 20 },
      );
      // Hundreds of batches, each with a query of its own.
    },
    300_000,
  );
});

describe('what is computed', () => {
  const reading = fc.record(
    { sensor: fc.constantFrom('a', 'b', 'c'), value: fc.integer({ min: -1000, max: 1000 }) },
    { requiredKeys: [] },
  );
  const readings = fc.array(reading, { minLength: 1, maxLength: 50 });

  test('filters and projections agree with JavaScript', async () => {
    const filter = await open('SELECT value * 2 AS twice, sensor FROM flow WHERE value > 10');
    const all = await open("SELECT * FROM flow WHERE value > 10 AND sensor <> 'b'");
    await fc.assert(
      fc.asyncProperty(readings, async (objects) => {
        const texts = objects.map((each) => JSON.stringify(each));
        const over = objects.filter(({ value = 0 }) => value > 10);
        const twice = over.map(({ value, sensor }) => ({ twice: value! * 2, sensor }));
        expect(valuesOf((await filter.run(...texts)).rows)).toEqual(values(...twice));
        const kept = over.filter(({ sensor = 'b' }) => sensor !== 'b');
        expect((await all.run(...texts)).rows).toEqual(kept.map((each) => JSON.stringify(each)));
      }),
      { numRuns: 50 },
    );
  });

  test('sums by group agree with JavaScript', async () => {
    const { run } = await open(
      'SELECT sensor, sum(value) AS sum, count(*) AS n FROM flow GROUP BY sensor ORDER BY sensor NULLS FIRST',
    );
    await fc.assert(
      fc.asyncProperty(readings, async (objects) => {
        const groups = [...Map.groupBy(objects, ({ sensor = '' }) => sensor)].toSorted(([a], [b]) =>
          a < b ? -1 : 1,
        );
        const expected = groups.map(([sensor, group]) => {
          const known = group.flatMap(({ value }) => value ?? []);
          return {
            ...(sensor !== '' && { sensor }),
            ...(known.length > 0 && { sum: known.reduce((sum, value) => sum + value, 0) }),
            n: group.length,
          };
        });
        const { rows } = await run(...objects.map((each) => JSON.stringify(each)));
        expect(valuesOf(rows)).toEqual(values(...expected));
      }),
      { numRuns: 50 },
    );
  });

  test('thousands of rows stay in order, or in that of ORDER BY', async () => {
    const texts = Array.from({ length: 7000 }, (_, index) => `{"i":${index},"k":${(index * 7919) % 7000}}`);
    const plain = await open('SELECT i, k FROM flow WHERE i % 3 <> 1');
    const expected = texts.filter((_, index) => index % 3 !== 1);
    expect((await plain.run(...texts)).rows).toEqual(expected);
    const sorted = await open('SELECT * FROM flow WHERE i % 3 <> 1 ORDER BY k DESC');
    const { query } = sorted;
    const runs = [{ start: 0, origin: { source: 's', ext: {} }, time: 1, sequence: 0 }];
    const result = await runOn(query, batchOf(texts, { runs }));
    const byKey = (a: string, b: string): number =>
      Number(/k":(\d+)/.exec(b)![1]) - Number(/k":(\d+)/.exec(a)![1]);
    expect(result.rows).toEqual(expected.toSorted(byKey));
    for (const [row, text] of result.rows.entries()) {
      expect(result.batch!.metadata(row).ext['sequence']).toBe(/i":(\d+)/.exec(text)![1]);
    }
  });

  test('NaN and infinity become null, but not where they are text', async () => {
    const { run } = await open(
      `SELECT sqrt(a) AS "NaN", 1e308 * a AS i, 'NaN"Infinity' AS t, CAST('nan' AS DOUBLE) AS n FROM flow`,
      { schema: { a: 'DOUBLE' } },
    );
    expect((await run('{"a":100}')).rows).toEqual(['{"NaN":10.0,"i":null,"t":"NaN\\"Infinity","n":null}']);
  });
});
