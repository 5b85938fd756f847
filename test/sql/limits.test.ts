import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batchOf, open, runOn } from './support.ts';

describe('messages that fail alone', () => {
  test('are found among many, and the others go on', async () => {
    const { run } = await open('SELECT CAST(a AS INTEGER) AS i FROM flow');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('"1"', '"2"', '"x"'), { minLength: 1, maxLength: 60 }),
        async (values) => {
          const { rows, rejected } = await run(...values.map((value) => `{"a":${value}}`));
          const bad = values.flatMap((value, index) => (value === '"x"' ? [index] : []));
          expect(rejected).toEqual(
            bad.map(
              (index) =>
                `${index}: MILLRACE_PROCESSOR_FAILED Conversion Error: Could not convert string 'x' to INT32 when casting from source column a (line 1, column 8 of the query)`,
            ),
          );
          expect(rows).toEqual(
            values.filter((value) => value !== '"x"').map((value) => `{"i":${value.slice(1, -1)}}`),
          );
        },
      ),
      { numRuns: 20 },
    );
  });

  test('together with those that cannot be admitted, at their places', async () => {
    const { run } = await open('SELECT 10 // a AS i, CAST(s AS DATE) AS d FROM flow');
    const { rows, rejected } = await run(
      '{"a":5}',
      '{"a":"x"}',
      '{"s":"no"}',
      '{"a":1,"a":2}',
      '{"a":2}',
      '{"s":"2024-01-01"}',
      '{"s":"never"}',
    );
    expect(rows).toEqual(['{"i":2,"d":null}', '{"i":5,"d":null}', '{"i":null,"d":"2024-01-01"}']);
    expect(rejected.map((each) => each.slice(0, 32))).toEqual([
      '1: MILLRACE_SQL_FIELD_CONFLICT f',
      '2: MILLRACE_PROCESSOR_FAILED Con',
      '3: MILLRACE_SQL_FIELD_CONFLICT f',
      '6: MILLRACE_PROCESSOR_FAILED Con',
    ]);
  });

  test('leave the groups of the others as they are', async () => {
    const { run } = await open('SELECT k, sum(CAST(v AS INTEGER)) AS s FROM flow GROUP BY k ORDER BY k');
    const { rows, rejected } = await run(
      '{"k":1,"v":"1"}',
      '{"k":1,"v":"bad"}',
      '{"k":2,"v":"3"}',
      '{"k":1,"v":"2"}',
    );
    expect(rows).toEqual(['{"k":1,"s":3}', '{"k":2,"s":3}']);
    expect(rejected).toEqual([expect.stringMatching(/^1: /)]);
  });
});

describe('payloads that reach for their neighbours', () => {
  const hostile = [
    '{"a":"}]"}',
    '{"a":"\\"},{\\"a\\":\\"x"}',
    '"]"',
    '{"a":{"v":{"a":1},"s":"x"}}',
    '{"v":{"a":9},"s":"forged","t":1,"e":{}}',
    '[{"a":1},{"a":2}]',
    '{"a":"\\u0000"}',
    ' \n{"a":1}\r\n ',
    '{"a":[[[]]]}',
    '{"__value__":{"a":1}}',
  ];

  test.each([
    'SELECT * FROM flow',
    'SELECT a, __meta_source FROM flow',
    'SELECT *, 1 AS one FROM flow',
    'SELECT count(*) AS n FROM flow',
  ])('%s', async (sql) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...hostile), { maxLength: 8 }), async (texts) => {
        const { run } = await open(sql);
        const { rows, rejected } = await run('{"a":"first"}', ...texts, '{"a":"last"}');
        expect(rejected).toEqual([]);
        if (sql.includes('count')) {
          expect(rows).toEqual([`{"n":${texts.length + 2}}`]);
        } else {
          expect(rows).toHaveLength(texts.length + 2);
          expect(JSON.parse(rows[0]!)).toMatchObject({ a: 'first' });
          expect(JSON.parse(rows.at(-1)!)).toMatchObject({ a: 'last' });
        }
      }),
      { numRuns: 20 },
    );
  });

  test('as deep as the codec lets them in', async () => {
    const deep = [
      `{"a":${'['.repeat(511)}${']'.repeat(511)}}`,
      '{"a":'.repeat(512).replace(/$/, '1') + '}'.repeat(512),
      `${'['.repeat(512)}1${']'.repeat(512)}`,
    ];
    for (const sql of [
      'SELECT a, __value__ FROM flow',
      'SELECT *, 1 AS one FROM flow',
      'SELECT * FROM flow',
    ]) {
      const { run } = await open(sql);
      const { rows, rejected } = await run('{"a":0}', ...deep, '{"a":1}');
      expect(rejected).toEqual([]);
      expect(rows).toHaveLength(5);
      expect(rows.join('')).toContain(`${'['.repeat(511)}${']'.repeat(511)}`);
    }
  });

  test('twenty megabytes in one message of which a part is NaN', async () => {
    const { run } = await open('SELECT a, sqrt(b) * 1e308 * 1e308 AS n, sqrt(c) - 1e308 * 10 AS m FROM flow');
    const text = '\\"x'.repeat(5_000_000) + 'NaN';
    const { rows, rejected } = await run(`{"a":"${text}","b":4.5,"c":1.5}`, '{"a":"-Infinity","b":0.0}');
    expect(rejected).toEqual([]);
    expect(rows[0]!.length).toBeGreaterThan(text.length);
    expect(rows[0]!.slice(-30)).toMatch(/xNaN","n":null,"m":null\}$/);
    expect(rows[1]).toBe('{"a":"-Infinity","n":0.0,"m":null}');
  });

  test('ten megabytes in one message', async () => {
    const big = `{"a":"${'é'.repeat(5_000_000)}","b":1}`;
    for (const sql of ['SELECT a, b FROM flow', 'SELECT *, length(a) AS n FROM flow']) {
      const { run } = await open(sql);
      const { rows } = await run('{"b":0}', big, '{"b":2}');
      expect(rows).toHaveLength(3);
      expect(rows[1]!.includes(big.slice(1, -8))).toBe(true);
    }
  });
});

describe('several batches at a time', () => {
  test('columns grow while others run', async () => {
    const { query } = await open('SELECT *, a + 1 AS next FROM flow');
    const run = async (lane: number): Promise<void> => {
      for (let round = 0; round < 15; round++) {
        const name = `f${lane % 3}_${round}`;
        const texts = [
          `{"a":${round},"${name}":"x"}`,
          `{"a":"bad"}`,
          `{"a":${round},"${name}":${round % 2 ? 1.5 : '"y"'}}`,
        ];
        const { rows, rejected } = await runOn(query, batchOf(texts));
        expect(rejected).toEqual([expect.stringMatching(/^1: MILLRACE_SQL_FIELD_CONFLICT field a/)]);
        expect(rows.map((row) => (JSON.parse(row) as { next: number }).next)).toEqual([round + 1, round + 1]);
        expect(rows[0]).toContain(`"${name}":"x"`);
      }
    };
    await runOn(query, batchOf(['{"a":1}']));
    await Promise.all([0, 1, 2, 3, 4, 5].map(run));
  });

  test('a candidate that is refused never shows to another batch', async () => {
    const { query } = await open('SELECT a + 1 AS b, upper(c) AS c FROM flow');
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const text = [`{"a":"x${index}"}`, `{"c":${index}}`, `{"a":${index}}`, '{"c":"y"}'][index % 4]!;
        return (await runOn(query, batchOf([text]))).rows.length;
      }),
    );
    expect(outcomes).toEqual(outcomes.map((_, index) => (index % 4 < 2 ? 0 : 1)));
  });

  const slow = 'SELECT sum(x.a * y.a * z.a) AS s FROM flow x, flow y, flow z';
  const many = Array.from({ length: 3000 }, (_, index) => `{"a":${index % 7}}`);

  test('abort ends a query that is running, and rejects nothing', async () => {
    const { query } = await open(slow);
    await runOn(query, batchOf(['{"a":1}']));
    const controller = new AbortController();
    const running = runOn(query, batchOf(many), controller.signal);
    setTimeout(() => controller.abort(new Error('stop')), 100);
    await expect(running).rejects.toThrow('stop');
    await expect(runOn(query, batchOf(many), AbortSignal.abort(new Error('stopped before')))).rejects.toThrow(
      'stopped before',
    );
    expect((await runOn(query, batchOf(['{"a":2}']))).rows).toEqual(['{"s":8}']);
  });

  test('close ends what is running, as fatal: nothing is rejected for it', async () => {
    const { query } = await open(slow);
    const running = [0, 1].map(() => runOn(query, batchOf(many)));
    const ended = Promise.allSettled(running);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await query.close();
    for (const outcome of await ended)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { fatal: true } });
    await expect(runOn(query, batchOf(['{"a":2}']))).rejects.toMatchObject({ fatal: true });
  });

  test('an abort ends it also when no thread has begun with it yet', async () => {
    // A query that the abort does not end runs for longer than the test may.
    const { query } = await open(`${slow}, flow w`, { timeout: 600_000 });
    for (let turns = 0; turns < 12; turns++) {
      const controller = new AbortController();
      const running = Promise.allSettled([runOn(query, batchOf(many), controller.signal)]);
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      controller.abort(new Error('enough'));
      expect(await running).toMatchObject([{ status: 'rejected', reason: { message: 'enough' } }]);
    }
  });

  test('memory does not grow with the number of batches', async () => {
    const { query } = await open('SELECT *, 1 AS one FROM flow');
    const batch = batchOf(
      Array.from({ length: 1000 }, (_, index) => `{"a":${index},"s":"${'x'.repeat(100)}"}`),
    );
    const rounds = async (count: number): Promise<number> => {
      for (let round = 0; round < count; round++) await runOn(query, batch);
      return process.memoryUsage().rss;
    };
    const before = await rounds(150);
    const after = await rounds(300);
    // A result is about 130 KB: kept, 300 of them would be 39 MB.
    expect(after - before).toBeLessThan(25_000_000);
  });
});
