import { describe, expect, test } from 'vitest';
import { open } from './support.ts';

const messages = [
  '{"s":"a","ts":1,"price":1.10,"d":{"n":2.50},"t":"\\u00e9"}',
  '{"s":"b","ts":2,"price":0.30000000000000000001,"d":{"n":1e2},"t":null}',
  '{"s":"a","ts":3,"price":3.00,"d":{"n":-0.0},"t":"x"}',
];

describe('a value that a row only carries on keeps its spelling', () => {
  test.each<[string, string[]]>([
    ['SELECT any_value(price) AS p FROM flow', ['{"p":1.10}']],
    ['SELECT any_value(price) FROM flow', ['{"any_value(price)":1.10}']],
    ['SELECT first(price) AS f, last(f.price) AS l FROM flow f', ['{"f":1.10,"l":3.00}']],
    [
      'SELECT arg_max(price, ts) AS p, min_by(d.n, price) AS n, max(price) AS m FROM flow',
      ['{"p":3.00,"n":1e2,"m":3.0}'],
    ],
    ['SELECT arg_max(price, ts, 2) AS p FROM flow', ['{"p":[3.00,0.30000000000000000001]}']],
    [
      'SELECT s, list(price ORDER BY ts DESC) AS p, array_agg(d.n) AS n FROM flow GROUP BY s ORDER BY s',
      ['{"s":"a","p":[3.00,1.10],"n":[2.50,-0.0]}', '{"s":"b","p":[0.30000000000000000001],"n":[1e2]}'],
    ],
    [
      'SELECT ts, lag(price) OVER (ORDER BY ts) AS p, first_value(d.n) OVER (ORDER BY ts DESC) AS n FROM flow ORDER BY ts',
      [
        '{"ts":1,"p":null,"n":-0.0}',
        '{"ts":2,"p":1.10,"n":-0.0}',
        '{"ts":3,"p":0.30000000000000000001,"n":-0.0}',
      ],
    ],
    ['SELECT any_value(price) AS p FROM flow HAVING max(price) > 2', ['{"p":1.10}']],
    [
      'SELECT any_value(t) AS t, list(PRICE) AS P, any_value(d) AS d FROM flow WHERE ts < 3',
      ['{"t":"\\u00e9","P":[1.10,0.30000000000000000001],"d":{"n":2.50}}'],
    ],
    // These compare or compute with it.
    ['SELECT any_value(price) AS p FROM flow HAVING p > 1', ['{"p":1.1}']],
    ['SELECT list(DISTINCT price ORDER BY price) AS p FROM flow WHERE ts <> 2', ['{"p":[1.1,3.0]}']],
    ['SELECT lag(price, 1, 0) OVER (ORDER BY ts) AS p FROM flow LIMIT 1', ['{"p":0.0}']],
    ['SELECT p + 1 AS p FROM (SELECT any_value(price) AS p FROM flow)', ['{"p":2.1}']],
    ['SELECT any_value(t) AS __value__ FROM flow WHERE ts = 3', ['{"__value__":"x"}']],
  ])('%s', async (sql, expected) => {
    const { run } = await open(sql);
    for (let round = 0; round < 2; round++)
      expect(await run(...messages)).toMatchObject({ rows: expected, rejected: [] });
  });

  test('a declared type, and rows that keep their types, have those', async () => {
    const declared = await open('SELECT any_value(price) AS p FROM flow', {
      schema: { price: 'DECIMAL(9, 4)' },
    });
    expect((await declared.run(messages[0]!)).rows).toEqual(['{"p":1.1000}']);
    const typed = await open('SELECT any_value(price) AS p, list(d.n) AS n FROM flow', { typed: true });
    expect((await typed.run(messages[0]!)).rows).toEqual(['{"p":1.1,"n":[2.5]}']);
  });

  test('before and after a message has the field, in any case', async () => {
    const { run } = await open('SELECT any_value(price) AS p, list(d.n) AS n FROM flow');
    expect((await run('{"x":1}')).rows).toEqual(['{"p":null,"n":[null]}']);
    expect((await run('{"Price":1.10,"d":{"N":2.50}}')).rows).toEqual(['{"p":1.10,"n":[2.50]}']);
  });
});
