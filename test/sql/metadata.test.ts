import { expect, test } from 'vitest';
import { concatBatches, type Batch } from '../../src/message/batch.ts';
import { NO_OFFSET, type Ext } from '../../src/message/metadata.ts';
import { batchOf, open, runOn } from './support.ts';

const origin = {
  source: 'kafka://orders',
  ext: { tenant: 'acme', 'claim.roles': ['admin', 'say "hi"\n'], level: 5, digits: '[1]' },
};

/** As a broker's messages are: the second of them has nothing of its own. */
const batch = batchOf(['{"a":1,"room":"x"}', '{"a":2,"room":"y"}', '{"a":3,"room":"x"}'], {
  runs: [{ start: 0, origin, time: 1_700_000_000_000_001, sequence: 7, messageType: 'text' }],
})
  .withMeta('key', ['k1', undefined, 'k3'])
  .withMeta('partition', Float64Array.of(4, Number.NaN, 5))
  .withMeta('offset', BigInt64Array.of(9_007_199_254_740_993n, NO_OFFSET, 0n))
  .withMeta('event_time', Float64Array.of(1_700_000_000_123_456, Number.NaN, 0))
  .withMeta('ext.header.trace', ['t1', ['t2', 't3'], undefined]);

const metadataOf = (result: Batch | undefined) =>
  Array.from({ length: result!.length }, (_, index) => result!.metadata(index));

test('key, partition, offset and event time are columns of their own, and NULL where a message has none', async () => {
  const { query } = await open(
    `SELECT a, __meta_key AS k, __meta_partition + 1 AS p, __meta_offset AS o, epoch_us(__meta_event_time) AS v,
            __meta_ext['header.trace'] AS trace
     FROM flow WHERE __meta_key IS NULL OR __meta_offset >= 0`,
  );
  expect((await runOn(query, batch)).rows).toEqual([
    '{"a":1,"k":"k1","p":5,"o":9007199254740993,"v":1700000000123456,"trace":"t1"}',
    '{"a":2,"k":null,"p":null,"o":null,"v":null,"trace":"[\\"t2\\",\\"t3\\"]"}',
    '{"a":3,"k":"k3","p":6,"o":0,"v":0,"trace":null}',
  ]);
  const plain = await runOn(query, batchOf(['{"a":1}']));
  expect(plain.rows).toEqual(['{"a":1,"k":null,"p":null,"o":null,"v":null,"trace":null}']);
});

test.each([
  'SELECT * FROM flow ORDER BY a DESC',
  'SELECT *, 1 AS one FROM flow ORDER BY a DESC',
  'SELECT DISTINCT * FROM flow ORDER BY a DESC',
  'SELECT f.* FROM flow f JOIN (SELECT 1 AS one) o ON true ORDER BY f.a DESC',
  'SELECT a, __meta_source, __meta_ingest_time, __meta_key, __meta_partition, __meta_offset, __meta_event_time, __meta_ext FROM flow ORDER BY a DESC',
])('%s keeps all of it, lists and numbers as such, and none in the payload', async (sql) => {
  const { query } = await open(sql);
  const result = await runOn(query, batch);
  expect(result.rejected).toEqual([]);
  expect(metadataOf(result.batch)).toEqual([2, 1, 0].map((index) => batch.metadata(index)));
  expect(result.rows.join()).not.toContain('meta');
});

test('a query reads a list as a list', async () => {
  const { query } = await open(
    `SELECT a FROM flow WHERE list_contains(__meta_ext['claim.roles']::JSON::VARCHAR[], 'say "hi"' || chr(10)) AND a = 2`,
  );
  expect((await runOn(query, batch)).rows).toEqual(['{"a":2}']);
});

test('a column of the result that has the name of metadata sets it, and leaves the payload', async () => {
  const { query } = await open(
    `SELECT a, room AS __meta_key, a AS __meta_partition, make_timestamp(a) AS __meta_event_time, 'me' AS __META_SOURCE,
            {'room': room, 'n': a, 'all': [room, 'z'], 'deep': {'x': 1}, 'none': NULL, 'long': 12345678901234567890} AS __meta_ext
     FROM flow WHERE a < 3`,
  );
  const { rows, batch: result } = await runOn(query, batch);
  expect(rows).toEqual(['{"a":1}', '{"a":2}']);
  const ext = (room: string, n: number): Ext => ({
    room,
    n,
    all: [room, 'z'],
    deep: '{"x":1}',
    long: '12345678901234567890',
  });
  const ingestTime = 1_700_000_000_000_001;
  expect(metadataOf(result)).toEqual([
    { source: 'me', ingestTime, ext: ext('x', 1), key: 'x', partition: 1, eventTime: 1 },
    { source: 'me', ingestTime, ext: ext('y', 2), key: 'y', partition: 2, eventTime: 2 },
  ]);
});

test.each([
  'SELECT *, room AS __meta_key FROM flow',
  'SELECT * REPLACE (upper(room) AS room), room AS __meta_key FROM flow',
  'SELECT f.*, f.room AS __meta_key FROM flow f JOIN (SELECT 1 AS one) o ON true ORDER BY f.a',
])('%s changes the key, and nothing else', async (sql) => {
  const { query } = await open(sql);
  const { rows, batch: result } = await runOn(query, batch);
  expect(metadataOf(result)).toEqual(
    [0, 1, 2].map((index) => ({ ...batch.metadata(index), key: ['x', 'y', 'x'][index] })),
  );
  expect(rows.join()).not.toContain('meta');
});

test('a group has the key that the query gives it, of messages that it cannot name', async () => {
  const { query } = await open(
    'SELECT room AS __meta_key, count(*) AS n FROM flow GROUP BY room ORDER BY room',
  );
  const { rows, batch: result } = await runOn(query, batch.withPositions('own'));
  expect(rows).toEqual(['{"n":2}', '{"n":1}']);
  expect([0, 1].map((index) => result!.metaAt(index, 'key'))).toEqual(['x', 'y']);
  expect([0, 1].map((index) => result!.positionAt(index))).toEqual([undefined, undefined]);
});

test('NULL takes metadata away, and what the query does not select is not there', async () => {
  const { query } = await open('SELECT *, NULL::VARCHAR AS __meta_key FROM flow');
  expect(metadataOf((await runOn(query, batch)).batch).map(({ key }) => key)).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  const { query: without } = await open('SELECT a FROM flow');
  const { batch: result } = await runOn(without, batch);
  expect(result!.columns.size).toBe(0);
});

test('rows of one message each know its position, so that its sender can be told of them', async () => {
  const { query } = await open('SELECT unnest([a, a * 10]) AS v FROM flow WHERE a <> 2');
  const { rows, batch: result } = await runOn(query, batch.withPositions('own'));
  expect(rows).toEqual(['{"v":1}', '{"v":10}', '{"v":3}', '{"v":30}']);
  expect(rows.map((_, index) => result!.positionAt(index))).toEqual([0, 0, 2, 2]);
});

test('neighbours with the same metadata stay one run', async () => {
  const same = batchOf(
    Array.from({ length: 100 }, (_, a) => JSON.stringify({ a })),
    {
      runs: [{ start: 0, origin, time: 5 }],
    },
  );
  const { query } = await open('SELECT a, __meta_ext, __meta_source, __meta_ingest_time FROM flow');
  const { batch: result } = await runOn(query, concatBatches([same, same]));
  expect(result!.runs).toHaveLength(1);
  expect(result!.metadata(150).ext).toEqual(origin.ext);
});

test('what is no map cannot be `__meta_ext`, and a message is not to blame alone', async () => {
  const { query } = await open("SELECT a, 'x' AS __meta_ext FROM flow");
  const { rejected } = await runOn(query, batch);
  expect(rejected).toHaveLength(3);
  expect(rejected[0]).toContain('expected a map, or a struct');
});
