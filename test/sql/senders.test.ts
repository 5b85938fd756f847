import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Run } from '../../src/message/batch.ts';
import type { Query } from '../../src/sql/query.ts';
import { batchOf, open, runOn, valuesOf } from './support.ts';

const CONFLICT = 'MILLRACE_SQL_FIELD_CONFLICT';

/** Messages with who sent each, as one batch; a sender is a session. */
function sent(messages: readonly (readonly [sender: string, text: string])[], minute = 0) {
  const runs: Run[] = messages.map(([sender], start) => ({
    start,
    origin: { source: 'ws://here', ext: { session_id: sender } },
    time: 1_700_000_000_000_000 + minute * 60_000_000,
  }));
  return batchOf(
    messages.map(([, text]) => text),
    { runs },
  );
}

const from = (sender: string, texts: readonly string[]) => texts.map((text) => [sender, text] as const);
const send = (query: Query, messages: readonly (readonly [string, string])[], minute?: number) =>
  runOn(query, sent(messages, minute));

describe('the query’s own spelling of a name', () => {
  test.each([
    'SELECT sensor FROM flow',
    'SELECT sensor FROM flow ORDER BY sensor DESC',
    'SELECT sensor, count(*) AS n FROM flow GROUP BY sensor ORDER BY sensor DESC',
    'SELECT x.sensor FROM flow x JOIN flow y USING (sensor)',
    'SELECT upper(sensor) AS u, sensor FROM flow',
    'SELECT sensor, __meta_ext FROM flow',
  ])('%s: is what rows have, whatever spelling came first, and none is rejected', async (sql) => {
    const expected = (await (await open(sql)).run('{"sensor":"t"}')).rows;
    for (const first of ['{"SENSOR":"s"}', '{"Sensor":"s"}', '{"\\u0053ensor" :"s"}', '{"sensor":"s"}']) {
      const { run } = await open(sql);
      const outcome = await run(first);
      expect(outcome.rejected).toEqual([]);
      expect(outcome.rows).toEqual(expected.map((row) => row.replace('"t"', '"s"').replace('T', 'S')));
      for (const text of ['{"sensor":"t"}', '{"SENSOR":"t"}', '{ "x" : 1, "S\\u0065nsor" : "t" }']) {
        expect(await run(text)).toMatchObject({ rows: expected, rejected: [] });
      }
    }
  });

  test('a field that has it is the column, whatever others are like it', async () => {
    const { run } = await open('SELECT sensor FROM flow');
    const texts = ['{"SENSOR":"no","sensor":"a"}', '{"sensor":"b","Sensor":7,"SENSOR":[]}', '{"Sensor":"c"}'];
    for (let round = 0; round < 2; round++) {
      const { rows, rejected } = await run(...texts);
      expect(rejected).toEqual([]);
      expect(rows).toEqual(['a', 'b', 'c'].map((sensor) => `{"sensor":"${sensor}"}`));
    }
    // Without one, the first of the others is.
    expect(await run('{"Sensor":1,"SENSOR":2}', '{"SENSOR":3,"Sensor":4}')).toMatchObject({
      rows: ['{"sensor":1}', '{"sensor":3}'],
      rejected: [],
    });
  });

  test('that of `schema` counts as the query’s', async () => {
    const { run } = await open('SELECT * FROM flow', { schema: { Sensor: 'VARCHAR' } });
    const { rows, rejected } = await run('{"sensor":1}', '{"SENSOR":"b"}', '{"Sensor":"c","sensor":[]}');
    expect(rejected).toEqual([]);
    expect(rows).toEqual(['1', 'b', 'c'].map((sensor) => `{"Sensor":"${sensor}"}`));
  });

  test('whole messages stay as they came', async () => {
    const { run } = await open("SELECT * FROM flow WHERE sensor = 'a'");
    const texts = ['{"SENSOR":"a"}', '{"sensor":"a"}', '{ "Sensor" : "a" }', '{"sensor":"a","SENSOR":"b"}'];
    expect(await run(...texts, '{"SENSOR":"b"}')).toMatchObject({ rows: texts, rejected: [] });
  });

  test('where all fields are columns, each spelling is one', async () => {
    const { query } = await open('SELECT *, 1 AS one FROM flow');
    await send(query, from('first', ['{"SENSOR":"s"}']));
    const { rows, rejected } = await send(query, from('b', ['{"sensor":"t"}', '{"SENSOR":"u","sensor":1}']));
    expect(rejected).toEqual([]);
    expect(valuesOf(rows)).toEqual(valuesOf(['{"sensor":"t","one":1}', '{"SENSOR":"u","sensor":1,"one":1}']));
  });
});

test('of every message, alone or with others, the field as the query writes it is taken, else the first other', async () => {
  const names = ['sensor', 'Sensor', 'SENSOR', 'x', 'X'];
  const message = fc.uniqueArray(fc.tuple(fc.constantFrom(...names), fc.nat(9)), {
    selector: ([name]) => name,
    maxLength: 5,
  });
  const queries = [
    'SELECT sensor FROM flow',
    'SELECT sensor, __meta_source FROM flow WHERE sensor IS NULL OR sensor >= 0',
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(message, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 }),
      fc.constantFrom(...queries),
      async (batches, sql) => {
        const { run } = await open(sql);
        for (const batch of batches) {
          const taken = batch.map((fields) => {
            const alike = fields.filter(([name]) => name.toLowerCase() === 'sensor');
            const exact = alike.find(([name]) => name === 'sensor');
            return (exact ?? alike[0])?.[1] ?? null;
          });
          const { rows, rejected } = await run(
            ...batch.map((fields) => JSON.stringify(Object.fromEntries(fields))),
          );
          expect(rows).toEqual(taken.map((value) => JSON.stringify({ sensor: value })));
          expect(rejected).toEqual([]);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('batches that run while a column changes are read as what they were checked for', async () => {
  const { query } = await open('SELECT v FROM flow ORDER BY v');
  const outcomes = await Promise.all(
    Array.from({ length: 60 }, async (_, at) => {
      const value = at % 3 === 0 ? '1' : '"x"';
      const texts = Array<string>(1 + (at % 5)).fill(`{"v":${value}}`);
      const { rows, rejected } = await send(query, from(`s${at % 7}`, texts));
      // Rejected, or as it was sent: never a string of digits, and never null.
      expect(rows).toEqual(rejected.length > 0 ? [] : texts);
      return rejected.length;
    }),
  );
  expect(outcomes.length).toBe(60);
});

describe('a type that most senders contradict', () => {
  const compares = [
    'SELECT sensor FROM flow ORDER BY sensor',
    'SELECT sensor, count(*) AS n FROM flow GROUP BY ALL',
    'SELECT max(sensor) AS sensor FROM flow',
    'SELECT DISTINCT ON (sensor) sensor FROM flow',
  ];

  test.each(compares)('%s: gives way, in the same batch', async (sql) => {
    const { query, widened } = await open(sql);
    const { rejected, rows } = await send(query, [
      ['a', '{"sensor":1}'],
      ...from('b', Array<string>(9).fill('{"sensor":"roof"}')),
    ]);
    expect(rejected).toEqual([
      expect.stringMatching(`^0: ${CONFLICT} field sensor: an integer does not fit the type VARCHAR`),
    ]);
    expect(rows.every((row) => row.includes('"roof"'))).toBe(true);
    expect(widened).toEqual([]);
  });

  test.each(compares)('%s: gives way, batch by batch', async (sql) => {
    const { query, widened } = await open(sql);
    await send(query, from('a', ['{"sensor":1}']));
    const rejected: number[] = [];
    for (let at = 0; at < 10; at++)
      rejected.push((await send(query, from('b', ['{"sensor":"roof"}']))).rejected.length);
    // One message against one: the earlier one holds.
    expect(rejected).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(widened).toEqual(['sensor: BIGINT > VARCHAR']);
    expect((await send(query, from('a', ['{"sensor":1}']))).rejected).toHaveLength(1);
  });

  test('gives way when the only sender changes it', async () => {
    const { query } = await open('SELECT sensor FROM flow ORDER BY sensor');
    for (let at = 0; at < 200; at++) await send(query, from('a', ['{"sensor":1}']));
    let rejected = 0;
    for (let at = 0; at < 200; at++)
      rejected += (await send(query, from('a', ['{"sensor":"roof"}']))).rejected.length;
    expect(rejected).toBeLessThanOrEqual(64);
    expect((await send(query, from('a', ['{"sensor":"roof"}']))).rejected).toEqual([]);
  });

  test('does not give way to one sender that sends more than all others', async () => {
    const { query } = await open('SELECT sensor FROM flow ORDER BY sensor');
    const good = Array.from({ length: 10 }, (_, at) => [`s${at}`, '{"sensor":"roof"}'] as const);
    const flood = from('flood', Array<string>(500).fill('{"sensor":1}'));
    await send(query, good);
    for (const batch of [flood, [...flood, ...good], flood, flood, good, [...good, ...flood], good]) {
      const { rows } = await send(query, batch);
      const roofs = rows.filter((row) => row === '{"sensor":"roof"}').length;
      expect(roofs).toBe(batch.filter(([sender]) => sender !== 'flood').length);
    }
  });

  test('numbers that do not fit each other are such types too', async () => {
    const { query } = await open('SELECT price FROM flow ORDER BY price');
    await send(query, from('a', ['{"price":0.5}']));
    const ids = from('b', Array<string>(5).fill('{"price":1234567890123456789}'));
    for (let round = 0; round < 2; round++) expect((await send(query, ids)).rejected).toEqual([]);
    expect((await send(query, from('a', ['{"price":0.5}']))).rejected).toHaveLength(1);
  });

  test('objects and what is none are such types too', async () => {
    const { query } = await open("SELECT body->>'id' AS id FROM flow");
    await send(query, from('a', ['{"body":{"id":1}}']));
    const texts = from('b', Array<string>(5).fill('{"body":"{\\"id\\":2}"}'));
    expect((await send(query, texts)).rows).toEqual(Array(5).fill('{"id":"2"}'));
  });

  test('no minority of senders has a majority rejected, whoever comes first and however much it sends', async () => {
    const value = fc.constantFrom('1', '2.5', '"x"', 'true', '{"a":1}');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom('x', 'y'), value), { minLength: 1, maxLength: 30 }),
        fc.constantFrom(...compares.filter((sql) => !sql.includes('max'))),
        async (bad, sql) => {
          const { query } = await open(sql);
          const good = ['a', 'b', 'c'].map((sender) => [sender, '{"sensor":"good"}'] as const);
          const noise = bad.map(([sender, text]) => [sender, `{"sensor":${text}}`] as const);
          await send(query, noise);
          await send(query, good);
          for (const batch of [[...noise, ...good], [...good, ...noise], good]) {
            const { rejections } = await send(query, batch);
            expect(rejections.filter(({ index }) => !['x', 'y'].includes(batch[index]![0]))).toEqual([]);
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('values that are only looked at for being the same', () => {
  const texts = ['1', '"roof"', '1', 'true', '"1"', 'null', '"roof"', '[1]', '12345678901234567890'].map(
    (value) => `{"sensor":${value}}`,
  );
  test.each([
    ['SELECT sensor, count(*) AS n FROM flow GROUP BY sensor', [2, 2, 1, 1, 1, 1, 1]],
    ['SELECT DISTINCT sensor FROM flow', [1, 1, 1, 1, 1, 1, 1]],
    ['SELECT sensor, row_number() OVER (PARTITION BY sensor) AS r FROM flow', Array<number>(9).fill(1)],
    ['SELECT x.sensor FROM flow x JOIN flow y USING (sensor)', Array<number>(4 + 4 + 4).fill(1)],
    ['SELECT x.sensor FROM flow x JOIN flow y ON x.sensor = y.sensor', Array<number>(12).fill(1)],
    ['SELECT count(DISTINCT sensor) AS n FROM flow WHERE sensor IS NOT NULL', [6]],
  ])('%s: may be of any kind, and stay what they were', async (sql, counts) => {
    for (const order of [texts, texts.toReversed()]) {
      const { run } = await open(sql);
      for (const batch of [order, order]) {
        const { rows, rejected } = await run(...batch);
        expect(rejected).toEqual([]);
        expect(rows).toHaveLength(counts.length);
        if (!sql.includes('GROUP BY')) continue;
        const group = new Map(
          rows.map((row) => [/"sensor":(.*),"n"/.exec(row)![1], Number(/"n":(\d)/.exec(row)![1])]),
        );
        expect(Object.fromEntries(group)).toEqual({
          '1': 2,
          '"roof"': 2,
          true: 1,
          '"1"': 1,
          null: 1,
          '[1]': 1,
          '12345678901234567890': 1,
        });
      }
    }
  });

  test('but 1 and 1.0 stay the same: among strings, fractions are in question', async () => {
    const { run } = await open('SELECT sensor, count(*) AS n FROM flow GROUP BY sensor');
    expect(valuesOf((await run('{"sensor":1}', '{"sensor":1.0}')).rows)).toEqual(
      valuesOf(['{"sensor":1,"n":2}']),
    );
    expect((await run('{"sensor":1.5}', '{"sensor":"x"}', '{"sensor":1}')).rejected).toEqual([
      expect.stringMatching(`^1: ${CONFLICT}`),
    ]);
  });

  test('where another table is joined, they keep their type', async () => {
    const { run } = await open(
      "SELECT sensor, place FROM flow JOIN (VALUES ('roof', 'up')) t(sensor, place) USING (sensor)",
    );
    await run('{"sensor":"roof"}');
    const { rows, rejected } = await run('{"sensor":1}', '{"sensor":"roof"}');
    expect(rows).toEqual(['{"sensor":"roof","place":"up"}']);
    expect(rejected).toHaveLength(1);
  });
});

describe('columns that messages bring', () => {
  const all = 'SELECT *, 1 AS one FROM flow';

  test('are bounded by the bytes of their names', async () => {
    const { run } = await open(all);
    const names = Array.from({ length: 499 }, (_, at) => `${at}`.padEnd(1000, 'x'));
    const wide = JSON.stringify(Object.fromEntries(names.map((name) => [name, 1])));
    await run('{"a":1}');
    const { rows, rejected } = await run('{"a":1}', wide, '{"a":2,"b":3}');
    expect(rows).toEqual(['{"a":1,"b":null,"one":1}', '{"a":2,"b":3,"one":1}']);
    expect(rejected).toEqual([
      expect.stringMatching(`^1: ${CONFLICT} field .* would take more than 16384 bytes`),
    ]);
  });

  test('are forgotten when nobody sends them any more', async () => {
    const { query } = await open(all);
    await send(query, from('a', ['{"a":1}', '{"once":1,"named":2}']));
    for (let minute = 0; minute <= 30; minute++) {
      // Their number counts too: a window has few batches in an hour.
      for (let batch = 0; batch < 7; batch++) {
        const { rows } = await send(query, from('a', ['{"a":1}']), minute);
        if (minute < 10) expect(rows).toEqual(['{"a":1,"once":null,"named":null,"one":1}']);
      }
    }
    expect((await send(query, from('a', ['{"a":2}']), 30)).rows).toEqual(['{"a":2,"one":1}']);
    expect((await send(query, from('a', ['{"once":"x"}']), 31)).rows).toEqual([
      '{"a":null,"once":"x","one":1}',
    ]);
  });

  test('make room for others then', async () => {
    const { query } = await open(all);
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 499 }, (_, at) => [`f${at}`, 1])));
    await send(query, from('a', ['{"a":1}', many]));
    expect((await send(query, from('b', ['{"new":1}']))).rejected).toHaveLength(1);
    for (let batch = 0; batch < 300; batch++) await send(query, from('b', ['{"a":1}']), batch / 10);
    expect(await send(query, from('b', ['{"new":1}']), 30)).toMatchObject({
      rejected: [],
      rows: ['{"a":null,"new":1,"one":1}'],
    });
  });

  test('a query that needs one keeps it', async () => {
    const { query } = await open("SELECT COLUMNS('^t_') FROM flow");
    await send(query, from('a', ['{"t_x":1}']));
    for (let batch = 0; batch < 300; batch++) await send(query, from('a', ['{}']), batch / 10);
    expect((await send(query, from('a', ['{}']), 31)).rows).toEqual(['{"t_x":null}']);
  });
});

test('one sender that shows several types one after the other does not take the column from the others', async () => {
  const { query } = await open('SELECT *, b * 2 AS c FROM flow WHERE b > 3 OR s IS NULL');
  await send(query, from('many', Array<string>(40).fill('{"b":4,"s":"s"}')));
  // An array beside text is no conflict here; a number with a fraction is one.
  const { rejected } = await send(query, from('one', ['{"b":4,"s":[1]}', '{"b":4,"s":2.5}', '{"b":4}']));
  expect(rejected).toEqual([expect.stringMatching(/^1: MILLRACE_SQL_FIELD_CONFLICT field s: a number/)]);
  expect((await send(query, from('many', ['{"b":4,"s":"t"}']))).rejected).toEqual([]);
});
