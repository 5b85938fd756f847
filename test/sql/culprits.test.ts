import { shutdownErrors } from '../../src/runtime/member.ts';
import { describe, expect, test } from 'vitest';
import { MillraceError } from '../../src/errors.ts';
import type { Run } from '../../src/message/batch.ts';
import { findCulprits } from '../../src/sql/culprits.ts';
import { batchOf, open, runOn } from './support.ts';

const NINES = '9'.repeat(38);

/** Places of the rejected messages. */
const places = (rejected: readonly string[]): number[] => rejected.map((each) => Number.parseInt(each, 10));

/** Messages of good senders, and among them, at these places, others. */
function among(
  count: number,
  good: (n: number) => string,
  others: Readonly<Record<number, string>>,
): string[] {
  return Array.from({ length: count }, (_, n) => others[n] ?? good(n));
}

describe('messages that fail together, and none of them alone, are found; the others have their result', () => {
  test('a sum that overflows', async () => {
    const { run } = await open(
      'SELECT account, sum(amount) AS s FROM flow GROUP BY account ORDER BY account',
    );
    const nines = `{"account":"a","amount":${NINES}}`;
    const { rows, rejected } = await run(
      ...among(100, (n) => `{"account":"${n % 2 ? 'b' : 'c'}","amount":${n}}`, { 17: nines, 80: nines }),
    );
    expect(places(rejected)).toEqual([17, 80]);
    // 17 is of b, and 80 of c.
    expect(rows).toEqual([`{"account":"b","s":${2500 - 17}}`, `{"account":"c","s":${2450 - 80}}`]);
  });

  test.each([
    ['a difference', 'SELECT max(t) - min(t) AS d FROM flow', '{"d":19}'],
    [
      'a window function',
      'SELECT max(d) AS d FROM (SELECT t - lag(t) OVER (ORDER BY n) AS d FROM flow)',
      '{"d":2}',
    ],
  ])('%s', async (_, sql, row) => {
    const { run } = await open(sql);
    const messages = among(20, (n) => `{"n":${n},"t":${n}}`, {
      4: `{"n":4,"t":${NINES}}`,
      5: `{"n":5,"t":-${NINES}}`,
    });
    const { rows, rejected } = await run(...messages);
    expect(places(rejected)).toEqual([4, 5]);
    expect(rows).toEqual([sql.includes('lag') ? '{"d":3}' : row]);
  });

  test('stddev of what is too far apart', async () => {
    const { run } = await open('SELECT stddev(v) > 0 AS s, count(*) AS n FROM flow');
    const { rows, rejected } = await run(
      ...among(50, (n) => `{"v":${n}.5}`, { 7: '{"v":1e308}', 31: '{"v":-1e308}' }),
    );
    expect(places(rejected)).toEqual([7, 31]);
    expect(rows).toEqual(['{"s":true,"n":48}']);
  });

  test('a scalar subquery that has two rows', async () => {
    const { run } = await open(
      'SELECT n, (SELECT v FROM flow WHERE k = 1) AS v FROM flow ORDER BY n LIMIT 1',
    );
    const { rows, rejected } = await run(
      ...among(64, (n) => `{"n":${n},"k":0,"v":0}`, { 3: '{"n":3,"k":1,"v":1}', 60: '{"n":60,"k":1,"v":2}' }),
    );
    expect(places(rejected)).toEqual([3, 60]);
    expect(rows).toEqual(['{"n":0,"v":null}']);
  });

  test('one that fails together with any of the others is to blame, and they are not', async () => {
    const { run } = await open('SELECT sum(a::HUGEINT) AS s FROM flow');
    const most = (2n ** 127n - 1n).toString();
    const { query } = await open('SELECT sum(a::HUGEINT) AS s FROM flow');
    const messages = among(40, () => '{"a":"1"}', { 9: `{"a":"${most}"}` });
    const { rows, rejected } = await runOn(query, batchOf(messages));
    expect(places(rejected)).toEqual([9]);
    expect(rows).toEqual(['{"s":39}']);
    expect((await run('{"a":"1"}')).rows).toEqual(['{"s":1}']);
  });

  test('two pairs and one that fails alone, among twenty thousand', async () => {
    const { run } = await open('SELECT k, sum(CAST(v AS HUGEINT)) AS s FROM flow GROUP BY k ORDER BY k');
    const nines = (k: string): string => `{"k":"${k}","v":"${NINES}"}`;
    const { rows, rejected } = await run(
      ...among(20_000, () => '{"k":"c","v":"1"}', {
        5: nines('a'),
        19_000: nines('a'),
        7000: '{"k":"c","v":"none"}',
        6: nines('b'),
        7: nines('b'),
      }),
    );
    expect(places(rejected)).toEqual([5, 6, 7, 7000, 19_000]);
    expect(rows).toEqual(['{"k":"c","s":19995}']);
  });
});

test('a search that is given up blames the messages of the sender whose messages fail without the others', async () => {
  const { query } = await open(
    'SELECT k, (SELECT f.a FROM flow f WHERE f.k = flow.k) AS a FROM flow ORDER BY k, a',
  );
  const runs: Run[] = [];
  const texts: string[] = [];
  const origins = ['good', 'bad'].map((source) => ({ source, ext: {} }));
  for (let n = 0; n < 3000; n++) {
    const good = n % 100 === 0;
    runs.push({ start: n, origin: origins[good ? 0 : 1]!, time: 1 });
    texts.push(good ? `{"k":${n},"a":${n}}` : '{"k":-1,"a":1}');
  }
  const { rows, rejected } = await runOn(query, batchOf(texts, { runs }));
  const good = Array.from({ length: 30 }, (_, n) => n * 100);
  expect(rows.filter((row) => !row.includes('-1'))).toEqual(good.map((n) => `{"k":${n},"a":${n}}`));
  expect(places(rejected).filter((place) => place % 100 === 0)).toEqual([]);
  expect(rejected.some((each) => each.includes('MILLRACE_SQL_UNRESOLVED'))).toBe(true);
});

describe('a query that takes too long', () => {
  const slow =
    'SELECT k, (SELECT sum(a.range * b.range) FROM range(flow.n) a, range(flow.n) b) AS s FROM flow ORDER BY k';
  const messages = among(64, (n) => `{"k":${n},"n":1}`, { 40: '{"k":40,"n":1000000}' });

  test('is interrupted, and the message that makes it slow is rejected alone', async () => {
    const { run } = await open(slow, { timeout: 3000 });
    const { rows, rejected } = await run(...messages);
    expect(rejected).toEqual([expect.stringMatching(/^40: MILLRACE_SQL_TIMEOUT the query ran longer than/)]);
    expect(rows).toHaveLength(63);
    expect((await run('{"k":1,"n":1}')).rows).toEqual(['{"k":1,"s":0}']);
  });

  test('on all of them: the batch is rejected', async () => {
    const { query } = await open(
      'SELECT count(*) AS n FROM flow, range(1000000) a, range(1000000) b WHERE a.range <> b.range + flow.k',
      {
        timeout: 500,
      },
    );
    await expect(runOn(query, batchOf(['{"k":1}', '{"k":2}']))).resolves.toMatchObject({
      rows: [],
      rejected: [
        expect.stringMatching(/^0: MILLRACE_SQL_TIMEOUT/),
        expect.stringMatching(/^1: MILLRACE_SQL_TIMEOUT/),
      ],
    });
  });

  test('says meanwhile that it runs', async () => {
    const { query } = await open(slow, { timeout: 2000 });
    const running = runOn(query, batchOf(messages));
    await expect
      .poll(() => query.notReady(), { timeout: 5000 })
      .toMatch(/^the query has been running on a batch for \d/);
    await Promise.allSettled([running]);
    expect(query.notReady()).toBeUndefined();
  });
});

test('a search that the stream’s end interrupts blames nobody', async () => {
  const controller = new AbortController();
  // That of a shutdown whose time is over.
  const reason = new MillraceError(shutdownErrors.MILLRACE_SHUTDOWN_INCOMPLETE, 'stopped');
  let attempts = 0;
  const attempt = (): Promise<never> => {
    if (++attempts === 3) controller.abort(reason);
    const error = new MillraceError('MILLRACE_PROCESSOR_FAILED', 'fails');
    return Promise.reject(controller.signal.aborted ? reason : error);
  };
  const { signal } = controller;
  const error = new MillraceError('MILLRACE_PROCESSOR_FAILED', 'fails');
  const options = { error, took: 1, longest: 1000, known: new Map(), signal };
  const batch = batchOf(Array.from({ length: 16 }, () => '{}'));
  await expect(findCulprits(batch, attempt, options)).rejects.toBe(reason);
});
