import { expect, test } from 'vitest';
import { expectLetter, openFeed, type DeadLetter, type Payload } from '../support/bad-input.ts';
import { hostile } from '../support/payload-cases.ts';

const conflict = (field?: string) => ({
  code: 'MILLRACE_SQL_FIELD_CONFLICT',
  stage: 'processor',
  ...(field !== undefined && { field }),
});

test.each(hostile)(
  'crafted: %s: nothing is swallowed or forged on the way through SQL',
  async (_, payloads) => {
    const feed = await openFeed('SELECT n FROM flow');
    feed.send('{"n":0}', ...payloads.flatMap((payload, index) => [payload, `{"n":${index + 1}}`]));
    feed.send(...payloads, '{"n":99}');
    const { texts, letters } = await feed.results();
    expect(texts).toEqual([0, ...payloads.map((__, index) => index + 1), 99].map((n) => `{"n":${n}}`));
    expect(letters).toHaveLength(2 * payloads.length);
  },
);

test('bad messages all over ten thousand good ones: the good ones give their rows, in order', async () => {
  const feed = await openFeed('SELECT n FROM flow');
  const crafted = ['[1', '2]', '{}, {}', '"a', 'b"', '{"n":5},{"n":6}', '{"n":7', '', '],[', 'null,null'];
  const payloads = Array.from({ length: 10_000 }, (_, n) =>
    n % 97 < 2 ? crafted[n % crafted.length]! : `{"n":${n}}`,
  );
  feed.send(...payloads);
  const { texts, letters } = await feed.results();
  expect(texts).toEqual(payloads.filter((payload) => !crafted.includes(payload)));
  expect(letters.map(({ payload }) => payload).toSorted()).toEqual(
    payloads.filter((payload) => crafted.includes(payload)).toSorted(),
  );
});

test('`__proto__`, `constructor` and the like are fields like any other, and change nothing else', async () => {
  const feed = await openFeed('SELECT * FROM flow');
  feed.send('{"n":1}', '{"__proto__":{"admin":true},"constructor":"c","toString":1}', '{"n":2}');
  const { texts } = await feed.results();
  // Compared as text: an object with a member __proto__ is not easily had in JavaScript.
  expect(texts).toEqual([
    '{"n":1}',
    '{"__proto__":{"admin":true},"constructor":"c","toString":1}',
    '{"n":2}',
  ]);
  expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
});

test('`__proto__` can be named as a column', async () => {
  const feed = await openFeed('SELECT n, "__proto__" AS p, constructor FROM flow');
  feed.send('{"n":1}', '{"__proto__":{"admin":true},"constructor":"c"}');
  const { texts } = await feed.results();
  expect(texts).toEqual([
    '{"n":1,"p":null,"constructor":null}',
    '{"n":null,"p":{"admin":true},"constructor":"c"}',
  ]);
});

test('numbers beyond 2^53 keep their digits', async () => {
  const feed = await openFeed('SELECT n FROM flow');
  const numbers = [
    '9007199254740993',
    '-9223372036854775808',
    '18446744073709551615',
    '12345678901234567890123456789012345678',
  ];
  for (const number of numbers) {
    feed.send(`{"n":${number}}`);
    await feed.results();
  }
  feed.send(...numbers.map((number) => `{"n":${number}}`));
  const { texts, letters } = await feed.results();
  expect(texts).toEqual([...numbers, ...numbers].map((number) => `{"n":${number}}`));
  expect(letters).toEqual([]);
});

test('they can be computed with, exactly', async () => {
  const feed = await openFeed('SELECT n + 1 AS m FROM flow');
  feed.send('{"n":9007199254740993}', '{"n":1}');
  const { texts } = await feed.results();
  expect(texts.map((text) => text.replaceAll(/\s/g, ''))).toEqual(['{"m":9007199254740994}', '{"m":2}']);
});

test('NUL, line breaks and quotes inside strings come out as they went in', async () => {
  const feed = await openFeed('SELECT s FROM flow');
  const strings = ['a\u0000b', 'a\nb', 'a\r\nb', '\ufeff', '"],[{"', '\\u0000', '😀', '\u2028'];
  feed.send(...strings.map((s) => JSON.stringify({ s })));
  await feed.results();
  expect(feed.run.output().values).toEqual(strings.map((s) => ({ s })));
});

test('ten thousand different field names: each row has its own, the rest is NULL', async () => {
  const feed = await openFeed('SELECT count(*) AS messages, sum(n) AS sum, max(f9999) AS last FROM flow');
  const wide = (from: number, to: number): Payload =>
    `{"n":1,${Array.from({ length: to - from }, (_, index) => `"f${from + index}":${from + index}`).join(',')}}`;
  feed.send('{"n":1}', wide(0, 5000), '{"n":1}', wide(5000, 10_000), '{"n":1}');
  const { letters } = await feed.results();
  const rows = feed.run.output().values as { messages: number; sum: number; last: number | null }[];
  expect(letters).toEqual([]);
  expect(rows.reduce((sum, { messages }) => sum + messages, 0)).toBe(5);
  expect(rows.reduce((sum, each) => sum + each.sum, 0)).toBe(5);
  expect(rows.map(({ last }) => last).filter((last) => last !== null)).toEqual([9999]);
});

/** Ten thousand messages, each with a field that no other has, and ten with none. */
function manyFields(): string[] {
  return Array.from({ length: 10_000 }, (_, at) => {
    const message = `{"n":${at},"f${at}":"v"}`;
    return at % 1000 === 999 ? [message, `{"n":${at}}`] : [message];
  }).flat();
}

test('ten thousand different field names through SELECT *: each message comes out as it was', async () => {
  const feed = await openFeed('SELECT * FROM flow WHERE n >= 0');
  feed.send(...manyFields());
  const { texts, letters } = await feed.results(50_000);
  expect(letters).toEqual([]);
  expect(texts).toEqual(manyFields());
}, 60_000);

test('if all fields must be columns, the first 500 are, and messages that bring more are dead letters', async () => {
  const feed = await openFeed('SELECT DISTINCT * FROM flow ORDER BY n');
  feed.send(...manyFields());
  const { letters } = await feed.results(50_000);
  const rows = feed.run.output().values as Record<string, unknown>[];
  // `n` is one of the 500.
  const whole = Array.from({ length: 499 }, (_, n) => n);
  const bare = Array.from({ length: 10 }, (_, part) => part * 1000 + 999);
  expect(rows.map(({ n }) => n)).toEqual([...whole, ...bare]);
  for (const { n, ...others } of rows) {
    const fields = Object.keys(others).filter((name) => others[name] !== null);
    expect(fields).toEqual(Number(n) < 499 ? [`f${String(n)}`] : []);
  }
  // Batches are processed side by side, and dead letters are written as they come up.
  const sequence = (letter: DeadLetter): number => Number(letter.metadata.__meta_ext['sequence']);
  const inOrder = letters.toSorted((a, b) => sequence(a) - sequence(b));
  expect(inOrder.map(({ payload, error }) => [payload, error.field])).toEqual(
    Array.from({ length: 9501 }, (_, at) => [`{"n":${at + 499},"f${at + 499}":"v"}`, `f${at + 499}`]),
  );
}, 60_000);

test('a field that changes type: the column widens, and all values come out', async () => {
  const feed = await openFeed('SELECT v FROM flow');
  const values = ['1', '2.5', '"three"', 'true', 'null', '[4]', '{"five":5}', '9007199254740993'];
  feed.send(...values.map((value) => `{"v":${value}}`));
  await feed.results();
  feed.send(...values.toReversed().map((value) => `{"v":${value}}`));
  const { texts, letters } = await feed.results();
  expect(letters).toEqual([]);
  expect(texts).toEqual([...values, ...values.toReversed()].map((value) => `{"v":${value}}`));
});

test('a value that the query cannot compute with is a dead letter that names its field', async () => {
  const feed = await openFeed('SELECT v * 2 AS twice FROM flow');
  feed.send('{"v":1}');
  await feed.results();
  feed.send('{"v":2}', '{"v":"a lot"}', '{"v":3}', '{"v":{"x":1}}', '{"v":4}');
  const { texts, letters } = await feed.results();
  expect(texts).toEqual([2, 4, 6, 8].map((twice) => `{"twice":${twice}}`));
  expect(letters).toHaveLength(2);
  expectLetter(feed.run, letters[0], '{"v":"a lot"}', 3, conflict('v'));
  expectLetter(feed.run, letters[1], '{"v":{"x":1}}', 5, conflict('v'));
});

test('a message that makes the query fail is a dead letter; its neighbours give their rows', async () => {
  const feed = await openFeed('SELECT CAST(v AS INTEGER) AS v FROM flow');
  feed.send('{"v":"1"}', '{"v":"two"}', '{"v":"3"}');
  const { texts, letters } = await feed.results();
  expect(texts).toEqual(['{"v":1}', '{"v":3}']);
  expect(letters).toHaveLength(1);
  expect(letters[0]).toMatchObject({ payload: '{"v":"two"}', error: { stage: 'processor' } });
  expect(letters[0]!.error.message).toContain('two');
});

test.each([
  ['half of a surrogate pair', '{"n":1,"s":"\\ud800"}', conflict('s')],
  ['a field that is there twice', '{"n":1,"n":2}', conflict('n')],
])('%s is JSON, but not a row: a dead letter', async (_, payload, error) => {
  const feed = await openFeed('SELECT n, upper(s) AS s FROM flow');
  feed.send('{"n":0}', payload, '{"n":3}');
  const { letters } = await feed.results();
  expect(feed.run.output().values).toMatchObject([{ n: 0 }, { n: 3 }]);
  expect(letters).toHaveLength(1);
  expectLetter(feed.run, letters[0], payload, 2, error);
});

test('JSON text in a string that is nested too deeply is a dead letter; a neighbour gets its row', async () => {
  const feed = await openFeed(
    "SELECT id FROM flow WHERE json_contains(body, '1') OR json_merge_patch(body, body) IS NULL",
  );
  const deep = [
    JSON.stringify({ id: 'a', body: '['.repeat(400_000) + ']'.repeat(400_000) }),
    JSON.stringify({ id: 'b', body: '{"a":'.repeat(95_000) + '1' + '}'.repeat(95_000) }),
  ];
  for (const payload of deep)
    feed.send('{"id":"before","body":"[1]"}', payload, '{"id":"after","body":"[1]"}');
  const { texts, letters } = await feed.results();
  expect(texts).toEqual(['before', 'after', 'before', 'after'].map((id) => `{"id":"${id}"}`));
  expect(letters).toHaveLength(2);
  for (const [index, letter] of letters.entries())
    expectLetter(feed.run, letter, deep[index]!, 3 * index + 2, {
      code: 'MILLRACE_SQL_TEXT_TOO_DEEP',
      stage: 'processor',
    });
});

test.each([
  ['SELECT sensor FROM flow', '{"SENSOR":"s"}', 0],
  ['SELECT sensor FROM flow ORDER BY sensor', '{"SENSOR":"s"}', 0],
  ['SELECT sensor, count(*) AS n FROM flow GROUP BY sensor', '{"sensor":1}', 0],
  ['SELECT x.sensor FROM flow x JOIN flow y USING (sensor)', '{"sensor":1}', 0],
  // Of one message against one, the earlier one holds.
  ['SELECT sensor FROM flow ORDER BY sensor', '{"sensor":1}', 1],
])('%s: the sender of %s first does not decide for the others', async (sql, first, mostLost) => {
  const feed = await openFeed(sql);
  feed.send(first);
  expect((await feed.results()).texts).toHaveLength(1);
  for (let round = 1; round <= 10; round++) {
    feed.send('{"sensor":"roof"}');
    await feed.results();
  }
  const { texts, letters } = await feed.results();
  expect(letters.length).toBeLessThanOrEqual(mostLost);
  expect(texts.filter((text) => text.includes('"sensor":"roof"')).length).toBeGreaterThanOrEqual(
    10 - mostLost,
  );
});

test('five hundred names of a kilobyte in one message do not become columns of everyone', async () => {
  const feed = await openFeed('SELECT *, 1 AS one FROM flow');
  const wide = JSON.stringify(
    Object.fromEntries(Array.from({ length: 499 }, (_, at) => [`${at}`.padEnd(1000, 'x'), 1])),
  );
  feed.send('{"n":1}', wide, '{"n":2}');
  const { texts, letters } = await feed.results();
  expect(texts).toEqual(['{"n":1,"one":1}', '{"n":2,"one":1}']);
  expect(letters).toHaveLength(1);
  expectLetter(feed.run, letters[0], wide, 2, conflict(letters[0]!.error.field));
});
