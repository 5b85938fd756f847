import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Fields } from '../../src/testing-api.ts';
import { runKit } from '../contract/run.ts';
import { startEngine } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { postgresServer, query } from '../support/servers/postgres.ts';
import { ServerPeer } from '../support/servers/server-peer.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';

const test = testWith('postgres');
const server = await postgresServer();
const dir = tempDir();
let tables = 0;

async function table(columns: string): Promise<string> {
  const name = `t${tables++}`;
  await query(server.port, `CREATE TABLE ${name} (${columns})`);
  return name;
}

/** A file with one stream from PostgreSQL. */
function file(fields: string, more = ''): string {
  return `
streams:
  - input: { type: postgres, name: db, url: 'postgres://postgres@127.0.0.1:${server.port}/postgres', ${fields} }
    output: { type: collect }
    ${more}
`;
}

const insert = (name: string, from: number, to: number): Promise<unknown> =>
  query(server.port, `INSERT INTO ${name} SELECT n FROM generate_series($1::int, $2::int) AS n`, [
    from,
    to - 1,
  ]);

test('a query without a cursor gives its rows, exact to the digit, and ends', async () => {
  const sql = `SELECT 12345678901234567890.1234567890::numeric AS n, 'ü€'::text AS t, '\\xff00'::bytea AS b, '2026-11-30 07:05:00.123456+01'::timestamptz AS at, '{"a":[1.50]}'::jsonb AS j, ARRAY[1,2] AS l, NULL AS none;`;
  const run = await startEngine(file(`query: '${sql.replaceAll("'", "''")}'`));
  await run.ended;
  expect(run.output().texts).toEqual([
    '{"n":12345678901234567890.1234567890,"t":"ü€","b":"\\\\xff00","at":"2026-11-30T06:05:00.123456+00:00","j":{"a": [1.50]},"l":[1,2],"none":null}',
  ]);
  expect(run.output().messages[0]).toMatchObject({ source: 'db' });
});

test('with a cursor, rows come as they are inserted, each once, in parts of batch_size', async () => {
  const name = await table('n int');
  await insert(name, 0, 10);
  const run = await startEngine(
    file(
      `query: 'SELECT n, n / 3 AS third FROM ${name} WHERE n / 3 > $1::int ORDER BY n / 3, n', cursor: { column: third, initial: -1 }, interval: 20ms, batch_size: 2`,
    ),
  );
  await run.output().count(10);
  await insert(name, 12, 20);
  await run.output().count(18);
  await insert(name, 21, 22);
  await run.output().count(19);
  expect(run.output().values).toEqual(
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 21].map((n) => ({
      n,
      third: Math.floor(n / 3),
    })),
  );
  expect(run.output().messages.at(-1)?.ext).toEqual({ cursor: '7' });
});

test('behind a log, it goes on after a restart from the place up to which rows are done', async () => {
  const name = await table('n int');
  await insert(name, 0, 5);
  const yaml = file(
    `query: 'SELECT n FROM ${name} WHERE n > $1::int ORDER BY n', cursor: { column: n, initial: -1 }, interval: 20ms`,
    `durability: { path: ${dir.path}/log }`,
  );
  const first = await startEngine(yaml);
  await first.output().count(5);
  await first.idle();
  await first.stop();
  await insert(name, 5, 7);
  const second = await startEngine(yaml);
  await second.output().count(2);
  expect(second.output().values).toEqual([{ n: 5 }, { n: 6 }]);
});

test('with listen, a notification starts the query before its pause is over', async () => {
  const name = await table('n int');
  const run = await startEngine(
    file(
      `query: 'SELECT n FROM ${name} WHERE n > $1::int ORDER BY n', cursor: { column: n, initial: -1 }, interval: 1h, listen: [new_rows]`,
    ),
  );
  await run.connected();
  await until('a first look', async () => (await query(server.port, LISTENING)).rowCount === 1);
  await insert(name, 0, 1);
  await query(server.port, 'NOTIFY new_rows');
  expect(await run.output().count(1)).toEqual(['{"n":0}']);
});

/** The connections of Millrace that wait for notifications. */
const LISTENING = "SELECT FROM pg_stat_activity WHERE application_name = 'millrace' AND state = 'idle'";

test('the payloads of notifications are messages, by channel', async () => {
  const run = await startEngine(file('listen: [Alarms, "b c"]'));
  await run.connected();
  const notify = 'SELECT pg_notify($1, $2)';
  await query(server.port, notify, ['Alarms', '{"n":1}']);
  await query(server.port, notify, ['b c', 'ü']);
  expect(await run.output().count(2)).toEqual(['{"n":1}', 'ü']);
  expect(run.output().messages.map(({ ext }) => ext)).toEqual([{ channel: 'Alarms' }, { channel: 'b c' }]);
});

test('a query that fails is tried again, and readiness says what is wrong', async () => {
  const name = `t${tables++}`;
  const run = await startEngine(file(`query: SELECT n FROM ${name}`));
  await until('readiness to say why', async () =>
    (await run.http('/readiness')).text.includes(`relation \\"${name}\\" does not exist`),
  );
  await query(server.port, `CREATE TABLE ${name} AS SELECT 1 AS n`);
  await run.ended;
  expect(run.output().texts).toEqual(['{"n":1}']);
});

test.each([
  ['cursor: { column: n, initial: 0 }, query: SELECT 1 AS n', 'has no $1'],
  ['query: SELECT $1 AS n', 'missing; `$1` in the query is its value'],
  ['listen: [a], interval: 1s', 'needs `query`'],
])('%s is a mistake', async (fields, message) => {
  await expect(startEngine(file(fields))).rejects.toThrow(message);
});

test('the example writes orders into a table, and follows it into a file', async () => {
  const text = readFileSync(new URL('../../examples/connectors/postgres.yaml', import.meta.url), 'utf8')
    .replace('port: 8080', 'port: 0')
    .replace('interval: 1s', 'interval: 20ms')
    .replaceAll('./data/', `${dir.path}/`);
  const run = await startEngine(text, {
    POSTGRES: `postgres://postgres@127.0.0.1:${server.port}/postgres`,
  });
  const sender = await connectClient(await run.url('orders'));
  const lines = (name: string): string[] =>
    existsSync(`${dir.path}/${name}`)
      ? readFileSync(`${dir.path}/${name}`, 'utf8').split('\n').slice(0, -1)
      : [];
  await send(sender, '{"id":1,"item":"tea","price":2.50,"version":1}', '{"id":"x"}');
  await until('the order', () => lines('orders.jsonl').length === 1 && lines('refused.jsonl').length === 1);
  await send(sender, '{"id":1,"item":"tea","price":3,"version":2}');
  await until('its change', () => lines('orders.jsonl').length === 2);
  expect(lines('orders.jsonl')).toEqual([
    '{"id":1,"item":"tea","price":2.50,"version":1}',
    '{"id":1,"item":"tea","price":3.00,"version":2}',
  ]);
});

class TablePeer extends ServerPeer {
  #table = '';

  async begin(): Promise<Fields> {
    this.#table = await table('n int, text text');
    return {
      url: `postgres://postgres:a-secret-of-the-url@127.0.0.1:${server.port}/postgres`,
      query: `SELECT n, text FROM ${this.#table} WHERE n > $1::int ORDER BY n`,
      cursor: { column: 'n', initial: -1 },
      interval: '20ms',
    };
  }

  async connected(): Promise<void> {
    await until('a connection', async () => (await query(server.port, LISTENING)).rowCount! > 0);
  }

  async push(messages: readonly string[]): Promise<void> {
    for (const message of messages)
      await query(
        server.port,
        `INSERT INTO ${this.#table} SELECT * FROM json_to_record($1) AS r(n int, text text)`,
        [message],
      );
  }
}

runKit('input', 'postgres', { test, peer: new TablePeer(server) });
