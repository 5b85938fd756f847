import { expect } from 'vitest';
import type { Fields } from '../../src/testing-api.ts';
import { runKit } from '../contract/run.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { postgresServer, query } from '../support/servers/postgres.ts';
import { ServerPeer } from '../support/servers/server-peer.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { Feed, FEED } from './feed.ts';

const test = testWith('postgres');
const server = await postgresServer();
let tables = 0;

/** A new table with these columns. */
async function table(columns: string): Promise<string> {
  const name = `t${tables++}`;
  await query(server.port, `CREATE TABLE ${name} (${columns})`);
  return name;
}

/** The rows of a query, each as a list of texts. */
async function rows(sql: string): Promise<unknown[][]> {
  const { rows: found } = await query(server.port, sql);
  return found.map((row: Record<string, unknown>) => Object.values(row));
}

/** Writes the messages, and resolves when the stream has ended. */
async function write(
  messages: readonly string[],
  fields: string,
  codec = 'codec: { type: json }',
): Promise<Run> {
  const run = await startEngine(`
streams:
  - input: { type: memory, messages: ${JSON.stringify(messages)}, ${codec} }
    output: { type: postgres, url: 'postgres://postgres@127.0.0.1:${server.port}/postgres', ${fields} }
    error_output: { type: collect, name: errors }
`);
  await run.ended;
  return run;
}

interface Letter {
  readonly payload: string;
  readonly error: { readonly code: string; readonly message: string };
}

const letters = (run: Run): [string, string][] =>
  (run.output('errors').values as Letter[]).map(({ payload, error }) => [payload, error.message]);

test('fields go to the columns of their names, exactly: digits, times, bytes, JSON, lists, unicode', async () => {
  const name = await table(
    'n numeric, i bigint, d double precision, t text, at timestamptz, b bytea, j jsonb, l int[], ok boolean, Q text',
  );
  const run = await write(
    [
      '{"n":12345678901234567890.1234567890,"i":9223372036854775807,"d":0.1,"t":"ü😀\\n\\"","at":"2026-11-30T07:05:00.123456Z","b":"AP/+","j":{"a":[1.50,null,"x"]},"l":[1,2],"ok":true,"q":"Q"}',
      '{"t":"no more","b":"\\\\x00ff","j":"text","n":null}',
    ],
    `table: ${name}`,
  );
  expect(letters(run)).toEqual([]);
  expect(
    await rows(
      `SELECT n::text, i::text, d::text, t, (at AT TIME ZONE 'UTC')::text, encode(b,'hex'), j::text, l::text, ok, q FROM ${name}`,
    ),
  ).toEqual([
    [
      '12345678901234567890.1234567890',
      '9223372036854775807',
      '0.1',
      'ü😀\n"',
      '2026-11-30 07:05:00.123456',
      '00fffe',
      '{"a": [1.50, null, "x"]}',
      '{1,2}',
      true,
      'Q',
    ],
    [null, null, null, 'no more', null, '00ff', '"text"', null, null, null],
  ]);
});

test('rows with types from SQL keep their values', async () => {
  const name = await table('a numeric(38,10), b bytea, at timestamp');
  const run = await startEngine(`
streams:
  - input: { type: memory, messages: ['{"x":1}'] , codec: { type: json } }
    pipeline:
      processors:
        - type: sql
          query: "SELECT CAST('1234567890.0123456789' AS DECIMAL(38,10)) AS a, from_hex('00ff') AS b, TIMESTAMP '2026-01-02 03:04:05.000006' AS at FROM flow"
    output: { type: postgres, url: 'postgres://postgres@127.0.0.1:${server.port}/postgres', table: ${name} }
`);
  await run.ended;
  expect(await rows(`SELECT a::text, encode(b, 'hex'), at::text FROM ${name}`)).toEqual([
    ['1234567890.0123456789', '00ff', '2026-01-02 03:04:05.000006'],
  ]);
});

test('columns takes values of the message and its metadata; the whole message is {{payload}}', async () => {
  const name = await table('source text, body text, raw bytea, j jsonb, n int, twice int');
  const fields = `table: ${name}, columns: { source: '{{source}}', body: '{{payload}}', raw: '{{payload_base64}}', j: '{{payload}}', n: '{{json:n}}', twice: { type: expr, expr: n * 2 } }`;
  await write(['{"n": 7}', '{"n":null}'], fields, 'name: feed, codec: { type: json }');
  expect(await rows(`SELECT source, body, encode(raw,'escape'), j::text, n, twice FROM ${name}`)).toEqual([
    ['feed', '{"n": 7}', '{"n": 7}', '{"n": 7}', 7, 14],
    ['feed', '{"n":null}', '{"n":null}', '{"n": null}', null, null],
  ]);
});

test('a row that the table refuses is a dead letter alone, and the others are written in order', async () => {
  const name = await table('n int PRIMARY KEY CHECK (n <> 13), t varchar(3), at serial');
  const bad: [string, string][] = [
    ['{"n":1,"t":"dup"}', 'duplicate key value violates unique constraint'],
    ['{"n":13}', 'violates check constraint'],
    ['{"n":"x"}', 'invalid input syntax for type integer'],
    ['{"n":5,"t":"long"}', 'value too long'],
    ['{"n":6,"t":"\\u0000"}', 'unsupported Unicode escape'],
    ['{"n":7,"what":1}', 'has no column for its field what'],
    ['{"t":"x"}', 'null value in column "n"'],
    ['[1]', 'not a JSON object'],
    ['{}', 'has no field for any column'],
  ];
  const good = Array.from({ length: 20 }, (_, n) => `{"n":${n + 100},"t":"ok"}`);
  const messages = ['{"n":1}', ...good.slice(0, 10), ...bad.map(([payload]) => payload), ...good.slice(10)];
  const run = await write(messages, `table: ${name}`);
  const got = new Map(letters(run));
  expect([...got.keys()].toSorted()).toEqual(bad.map(([payload]) => payload).toSorted());
  for (const [payload, message] of bad) expect(got.get(payload)).toContain(message);
  expect((await rows(`SELECT n FROM ${name} ORDER BY at`)).flat()).toEqual([
    1,
    ...good.map((_, n) => n + 100),
  ]);
});

test('messages that are not checked to be JSON cannot become several rows, nor harm their neighbours', async () => {
  const name = await table('a int');
  const bad = ['{"a":2},{"a":3}', 'no JSON', '{"a":4'];
  const run = await write(['{"a":1}', ...bad, '{"a":5}'], `table: ${name}`, 'name: raw');
  expect((await rows(`SELECT a FROM ${name}`)).flat()).toEqual([1, 5]);
  expect(letters(run).map(([payload]) => payload)).toEqual(bad);
});

test('a field that a message lacks gets its default; unknown fields can be ignored', async () => {
  const name = await table("id serial, n int, kind text DEFAULT 'none', more text");
  const messages = ['{"n":1}', '{"n":2,"kind":"a"}', '{"n":3,"kind":null,"x":1}', '{"n":4,"more":"m"}'];
  await write(messages, `table: ${name}, unknown_fields: ignore`);
  expect(await rows(`SELECT id, n, kind, more FROM ${name} ORDER BY id`)).toEqual([
    [1, 1, 'none', null],
    [2, 2, 'a', null],
    [3, 3, null, null],
    [4, 4, 'none', 'm'],
  ]);
});

test('on_conflict: ignore keeps the row, update replaces what the message has; of several in a batch, the last counts', async () => {
  const columns = 'id int PRIMARY KEY, a int, b int DEFAULT 0';
  const messages = ['{"id":1,"a":1,"b":1}', '{"id":1,"a":2}', '{"id":2,"a":1}', '{"id":1,"a":3}'];
  const ignoring = await table(columns);
  await write(messages, `table: ${ignoring}, on_conflict: ignore`);
  expect(await rows(`SELECT * FROM ${ignoring} ORDER BY id`)).toEqual([
    [1, 1, 1],
    [2, 1, 0],
  ]);
  const updating = await table(columns);
  await write(messages, `table: ${updating}, on_conflict: update, keys: [id]`);
  expect(await rows(`SELECT * FROM ${updating} ORDER BY id`)).toEqual([
    [1, 3, 1],
    [2, 1, 0],
  ]);
});

test('create makes the table of the fields, with types that hold them', async () => {
  const name = `T ${tables++}`;
  const messages = [
    '{"id":1,"n":1,"x":1.5,"t":"a","j":{},"l":[],"ok":true,"none":null,"mixed":1}',
    '{"id":2,"n":12345678901234567890,"x":1,"mixed":"a"}',
  ];
  const run = await write(messages, `table: '${name}', create: true, keys: [id], schema: { x: REAL }`);
  expect(letters(run)).toEqual([]);
  const { rows: types } = await query(
    server.port,
    'SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position',
    [name],
  );
  expect(types.map((row: { name: string; type: string }) => `${row.name} ${row.type}`)).toEqual([
    'id bigint',
    'n numeric',
    'x real',
    't text',
    'j jsonb',
    'l jsonb',
    'ok boolean',
    'none text',
    'mixed text',
  ]);
  expect(await rows(`SELECT id::text, n::text, mixed FROM "${name}" ORDER BY id`)).toEqual([
    ['1', '1', '1'],
    ['2', '12345678901234567890', 'a'],
  ]);
});

test('the table can differ by message; a message for a missing one is a dead letter', async () => {
  const [one, two] = [await table('t text, n int'), await table('t text, n int')];
  const messages = [one, two, 'nowhere', 'a"b', one].map((t, n) => JSON.stringify({ t, n }));
  const run = await write(messages, `table: 'public.{{json:t}}'`);
  expect((await rows(`SELECT n FROM ${one} ORDER BY n`)).flat()).toEqual([0, 4]);
  expect((await rows(`SELECT n FROM ${two}`)).flat()).toEqual([1]);
  expect(letters(run)).toEqual([
    [messages[2], 'the table public.nowhere does not exist'],
    [messages[3], 'the table public.a"b does not exist'],
  ]);
});

test('with one table for all, messages wait for it to be created, and readiness says so', async () => {
  const name = `t${tables++}`;
  const run = await startEngine(`
streams:
  - input: { type: memory, messages: ['{"n":1}'] }
    output: { type: postgres, url: 'postgres://postgres@127.0.0.1:${server.port}/postgres', table: ${name} }
`);
  await until('readiness to say why', async () =>
    (await run.http('/readiness')).text.includes(`the table ${name} does not exist`),
  );
  await query(server.port, `CREATE TABLE ${name} (n int)`);
  await run.ended;
  expect((await rows(`SELECT n FROM ${name}`)).flat()).toEqual([1]);
});

test('a server that is killed under load, and comes back: nothing is lost or twice, in order', async () => {
  const name = await table('n int PRIMARY KEY, device text, at serial');
  const once = await table('n int, device text, at serial');
  const output = (of: string, more: string): string =>
    `{ type: postgres, url: 'postgres://postgres@127.0.0.1:${server.port}/postgres', table: ${of}, ${more} }`;
  const run = await startEngine(`
streams:
  - input: ${FEED}
    output: ${output(name, 'on_conflict: ignore')}
  - input: ${FEED}
    output: ${output(once, 'exactly_once: true')}
`);
  const feeds = [new Feed(run), new Feed(run, 'stream-1')];
  for (let round = 0; round < 2; round++) {
    const before = await run.metric('millrace_output_messages_total', 'stream="stream-1"');
    await until(
      'more',
      async () => (await run.metric('millrace_output_messages_total', 'stream="stream-1"')) > before + 200,
    );
    await server.restart();
  }
  for (const [index, of] of [name, once].entries()) {
    await feeds[index]!.stop();
    await run.idle(`stream-${index}`);
    const numbers = (await rows(`SELECT n FROM ${of} ORDER BY at`)).flat();
    expect(numbers).toEqual(Array.from({ length: feeds[index]!.sent }, (_, n) => n));
  }
});

test.each([
  ['mysql://x@y/z', 'is not the URL of a PostgreSQL server'],
  ['postgres://u@h/d?sslmode=perhaps', 'has an unknown sslmode'],
  ['postgres://u@h/d?colour=red', 'has the unknown parameter colour'],
])('the url %s is a mistake', async (url, message) => {
  await expect(
    startEngine(
      `- { input: { type: memory, messages: [a] }, output: { type: postgres, url: '${url}', table: t } }`,
    ),
  ).rejects.toThrow(message);
});

class TablePeer extends ServerPeer {
  #table = '';

  async begin(): Promise<Fields> {
    this.#table = await table('n int, text text, filler text, at serial');
    return {
      url: `postgres://postgres:a-secret-of-the-url@127.0.0.1:${server.port}/postgres`,
      table: this.#table,
    };
  }

  async connected(): Promise<void> {
    const sql = "SELECT FROM pg_stat_activity WHERE application_name = 'millrace'";
    await until('a connection', async () => (await query(server.port, sql)).rowCount! > 0);
  }

  async arrived(): Promise<readonly string[]> {
    const found = await rows(`SELECT n, text FROM ${this.#table} ORDER BY at`);
    return found.map(([n, text]) => JSON.stringify({ n, text }));
  }
}

runKit('output', 'postgres', { test, peer: new TablePeer(server), refused: '{"n":"none"}' });
