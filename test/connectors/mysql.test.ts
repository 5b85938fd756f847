import { expect } from 'vitest';
import type { Fields } from '../../src/testing-api.ts';
import { runKit } from '../contract/run.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { mariadbServer, query } from '../support/servers/mariadb.ts';
import { ServerPeer } from '../support/servers/server-peer.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { dial } from './dial.ts';
import { Feed, FEED } from './feed.ts';

const test = testWith('mariadbd');
const fixture = (name: string): string =>
  new URL(`../control/fixtures/${name}.pem`, import.meta.url).pathname;
const server = await mariadbServer({
  options: [
    '--max-allowed-packet=4M',
    `--ssl-ca=${fixture('ca')}`,
    `--ssl-cert=${fixture('server')}`,
    `--ssl-key=${fixture('server-key')}`,
  ],
  sql: "CREATE USER IF NOT EXISTS mill@'127.0.0.1' IDENTIFIED BY 'p@ss:word' REQUIRE SSL;\nGRANT ALL ON test.* TO mill@'127.0.0.1';\n",
});
const dir = tempDir();
let tables = 0;

/** A new table with these columns. */
async function table(columns: string): Promise<string> {
  const name = `t${tables++}`;
  await query(server.port, `CREATE TABLE ${name} (${columns})`);
  return name;
}

const rows = async (sql: string): Promise<unknown[][]> => (await query(server.port, sql)) as unknown[][];

const output = (name: string, fields = '', user = 't:t'): string =>
  `{ type: mysql, url: 'mysql://${user}@127.0.0.1:${server.port}/test', table: '${name}', ${fields} }`;

/** Writes the messages, and resolves when the stream has ended. */
async function write(messages: readonly string[], name: string, fields = '', user = 't:t'): Promise<Run> {
  const run = await startEngine(`
streams:
  - input: { type: memory, name: feed, messages: ${JSON.stringify(messages)}, codec: { type: json } }
    output: ${output(name, fields, user)}
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

test('fields go to the columns of their names, exactly: digits, times, bytes, JSON, unicode, quotes', async () => {
  const name = await table(
    'n decimal(40,10), i bigint, u bigint unsigned, d double, t text character set utf8mb4, at datetime(6), b blob, j json, ok boolean, f bit(4), id serial',
  );
  const run = await write(
    [
      '{"n":12345678901234567890.1234567890,"i":-9223372036854775808,"u":18446744073709551615,"d":0.1,"t":"ü😀\\n\\"\'\\\\\' \\u0000?","at":"2026-11-30T07:05:00.123456Z","b":"AP/+","j":{"a":[1.50,null,"x\'"]},"ok":true,"f":5}',
      '{"t":"no more","b":"\\\\x00ff","j":"text","n":1.5e3,"at":"2026-11-30T07:05:00+05:30"}',
      '{"t":12345678901234567890.10,"at":"2026-11-30 07:05:00.5","n":"2.5","d":1e300}',
    ],
    name,
  );
  expect(letters(run)).toEqual([]);
  expect(await rows(`SELECT n, i, u, d, t, at, hex(b), j, ok, f + 0 FROM ${name} ORDER BY id`)).toEqual([
    [
      '12345678901234567890.1234567890',
      '-9223372036854775808',
      '18446744073709551615',
      '0.1',
      "ü😀\n\"'\\' \u0000?",
      '2026-11-30 07:05:00.123456',
      '00FFFE',
      '{"a":[1.50,null,"x\'"]}',
      '1',
      '5',
    ],
    [
      '1500.0000000000',
      null,
      null,
      null,
      'no more',
      '2026-11-30 01:35:00.000000',
      '00FF',
      '"text"',
      null,
      null,
    ],
    [
      '2.5000000000',
      null,
      null,
      '1e300',
      '12345678901234567890.10',
      '2026-11-30 07:05:00.500000',
      null,
      null,
      null,
      null,
    ],
  ]);
});

test('columns takes values of the message and its metadata; the whole message is {{payload}}', async () => {
  const name = await table('source text, body text, raw blob, j json, n int, twice int');
  const fields = `columns: { source: '{{source}}', body: '{{payload}}', raw: '{{payload_base64}}', j: '{{payload}}', n: '{{json:n}}', twice: { type: expr, expr: n * 2 } }`;
  const run = await write(['{"n": 7}', '{"n":null}'], name, fields);
  expect(letters(run)).toEqual([]);
  expect(await rows(`SELECT source, body, raw, j, n, twice FROM ${name}`)).toEqual([
    ['feed', '{"n": 7}', '{"n": 7}', '{"n": 7}', '7', '14'],
    ['feed', '{"n":null}', '{"n":null}', '{"n":null}', null, null],
  ]);
});

test('a row that the table refuses is a dead letter alone, and the others are written in order', async () => {
  const name = await table(
    'n int PRIMARY KEY CHECK (n <> 13), t varchar(3), b blob, day date, at int UNIQUE AUTO_INCREMENT',
  );
  const bad: [string, string][] = [
    ['{"n":1,"t":"dup"}', 'Duplicate entry'],
    ['{"n":13}', 'CONSTRAINT'],
    ['{"n":"x"}', 'Incorrect integer value'],
    ['{"n":3000000000}', 'Out of range'],
    ['{"n":5,"t":"long"}', 'Data too long'],
    ['{"n":6,"day":"2026-02-30"}', 'Incorrect date value'],
    ['{"n":7,"what":1}', 'has no column for its field what'],
    ['{"n":8,"b":"no base64!"}', 'not base64'],
    ['{"n":null,"t":"x"}', 'cannot be null'],
    ['[1]', 'not a JSON object'],
    ['{}', 'has no field for any column'],
  ];
  const good = Array.from({ length: 20 }, (_, n) => `{"n":${n + 100},"t":"ok"}`);
  const messages = ['{"n":1}', ...good.slice(0, 10), ...bad.map(([payload]) => payload), ...good.slice(10)];
  const run = await write(messages, name);
  const got = new Map(letters(run));
  expect([...got.keys()].toSorted()).toEqual(bad.map(([payload]) => payload).toSorted());
  for (const [payload, message] of bad) expect(got.get(payload)).toContain(message);
  expect((await rows(`SELECT n FROM ${name} ORDER BY at`)).flat().map(Number)).toEqual([
    1,
    ...good.map((_, n) => n + 100),
  ]);
});

test('a message larger than a packet of the server is a dead letter alone', async () => {
  const name = await table('t longtext');
  const large = `{"t":"${'x'.repeat(5 * 1024 * 1024)}"}`;
  const run = await write(['{"t":"a"}', large, '{"t":"b"}'], name);
  expect(letters(run).map(([, message]) => message)).toEqual([
    'larger than max_allowed_packet of the server',
  ]);
  expect((await rows(`SELECT t FROM ${name}`)).flat()).toEqual(['a', 'b']);
});

test('on_conflict: ignore keeps the row, update replaces what the message has; wrong values are no conflict', async () => {
  const columns = 'id int PRIMARY KEY, a int, b int DEFAULT 0';
  const messages = [
    '{"id":1,"a":1,"b":1}',
    '{"id":1,"a":2}',
    '{"id":2,"a":"wrong"}',
    '{"id":2,"a":1}',
    '{"id":1,"a":3}',
  ];
  const ignoring = await table(columns);
  const updating = await table(columns);
  const runs = [
    await write(messages, ignoring, 'on_conflict: ignore'),
    await write(messages, updating, 'on_conflict: update, keys: [id]'),
  ];
  for (const run of runs) expect(letters(run).map(([payload]) => payload)).toEqual([messages[2]]);
  expect(await rows(`SELECT * FROM ${ignoring} ORDER BY id`)).toEqual([
    ['1', '1', '1'],
    ['2', '1', '0'],
  ]);
  expect(await rows(`SELECT * FROM ${updating} ORDER BY id`)).toEqual([
    ['1', '3', '1'],
    ['2', '1', '0'],
  ]);
});

test('create makes the table of the fields, with types that hold them', async () => {
  const name = `T ${tables++}`;
  const messages = [
    '{"id":"a","n":1,"x":1.5,"t":"a","j":{},"l":[],"ok":true,"mixed":1}',
    '{"id":"A","n":12345678901234567890,"x":1,"mixed":"a"}',
  ];
  const run = await write(messages, name, 'create: true, keys: [id], schema: { x: FLOAT }');
  expect(letters(run)).toEqual([]);
  const types = await rows(
    `SELECT COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_NAME = '${name}' ORDER BY ORDINAL_POSITION`,
  );
  expect(types.map((each) => each.join(' '))).toEqual([
    'id varchar(255)',
    'n decimal(65,30)',
    'x float',
    't longtext',
    'j longtext',
    'l longtext',
    'ok tinyint(1)',
    'mixed longtext',
  ]);
  expect(await rows(`SELECT id, n + 0, j, mixed FROM \`${name}\` ORDER BY n`)).toEqual([
    ['a', expect.stringMatching(/^1\.0+$/), '{}', '1'],
    ['A', expect.stringMatching(/^12345678901234567890\.0+$/), null, 'a'],
  ]);
});

test('the table can differ by message, whatever is in its name; a message for a missing one is a dead letter', async () => {
  const one = await table('t text, n int');
  const messages = [one, 'nowhere', "a`b'c\\", one].map((t, n) => JSON.stringify({ t, n }));
  const run = await write(messages, 'test.{{json:t}}');
  expect((await rows(`SELECT n FROM ${one} ORDER BY n`)).flat()).toEqual(['0', '3']);
  expect(letters(run)).toEqual([
    [messages[1], 'the table test.nowhere does not exist'],
    [messages[2], "the table test.a`b'c\\ does not exist"],
  ]);
});

test('with one table for all, messages wait for it to be created, and readiness says so', async () => {
  const name = `t${tables++}`;
  const run = await startEngine(`
streams:
  - input: { type: memory, messages: ['{"n":1}'] }
    output: ${output(name)}
`);
  await until('readiness to say why', async () =>
    (await run.http('/readiness')).text.includes(`the table ${name} does not exist`),
  );
  await query(server.port, `CREATE TABLE ${name} (n int)`);
  await run.ended;
  expect((await rows(`SELECT n FROM ${name}`)).flat()).toEqual(['1']);
});

test('a server that is killed under load, and comes back: nothing is lost or twice, in order', async () => {
  const at = 'at int PRIMARY KEY AUTO_INCREMENT';
  const name = await table(`n int UNIQUE, device text, ${at}`);
  const once = await table(`n int, device text, ${at}`);
  const run = await startEngine(`
streams:
  - input: ${FEED}
    output: ${output(name, 'on_conflict: ignore')}
  - input: ${FEED}
    output: ${output(once, 'exactly_once: true')}
`);
  // A pause: the server's disk is the same as that of all other tests.
  const feeds = [new Feed(run, undefined, 20), new Feed(run, 'stream-1', 20)];
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
    const numbers = (await rows(`SELECT n FROM ${of} ORDER BY at`)).flat().map(Number);
    expect(numbers).toEqual(Array.from({ length: feeds[index]!.sent }, (_, n) => n));
  }
});

test('a password of a file opens the connection, over TLS; what is wrong is told without the password', async () => {
  const name = await table('n int');
  const tls = `tls: { ca_file: ${fixture('ca')}, server_name: localhost }`;
  const file = dir.file('p', 'p@ss:word\n');
  const run = await write(['{"n":1}'], name, `${tls}, password_file: ${file}`, 'mill');
  expect(letters(run)).toEqual([]);
  expect((await rows(`SELECT n FROM ${name}`)).flat()).toEqual(['1']);
  const outcome = async (fields: string, user: string): Promise<unknown> =>
    (await dial(`- { input: { type: memory, messages: [a] }, output: ${output(name, fields, user)} }`))[1];
  const right = 'mill:p%40ss%3Aword';
  expect(await outcome(tls, right)).toBeUndefined();
  expect(await outcome('', right)).toContain('Access denied');
  const wrong = await outcome(tls, 'mill:not-the-password');
  expect(wrong).toContain('Access denied');
  expect(wrong).not.toContain('not-the-password');
  expect(await outcome('tls: { server_name: localhost }', right)).toContain('certificate');
  const other = `tls: { ca_file: ${fixture('ca')}, server_name: other.example }`;
  expect(await outcome(other, right)).toContain('does not match');
});

test('a server that is frozen: the connection counts as lost, no value is logged, and the stream ends at once', async () => {
  const name = await table('n text');
  const run = await startEngine(`
streams:
  - input: { type: generate, context: '{"n":"a-value"}', interval: 5ms, batch_size: 1 }
    output: ${output(name, 'timeout: 300ms')}
`);
  await until('a message', async () => (await run.metric('millrace_output_messages_total')) > 0);
  server.freeze();
  await until('readiness to say why', async () =>
    (await run.http('/readiness')).text.includes('no answer within 0.3 s'),
  );
  await run.abort();
  server.thaw();
  expect(JSON.stringify(run.log)).not.toContain('a-value');
});

test.each([
  ['postgres://x@y/z', 'is not the URL of a database of MySQL'],
  ['mysql://u@h', 'is not the URL of a database of MySQL'],
  ['mysql://u@h/d?colour=red', 'has the unknown parameter colour'],
])('the url %s is a mistake', async (url, message) => {
  await expect(
    startEngine(
      `- { input: { type: memory, messages: [a] }, output: { type: mysql, url: '${url}', table: t } }`,
    ),
  ).rejects.toThrow(message);
});

class TablePeer extends ServerPeer {
  #table = '';
  /** The number of the last connection before the case. */
  #last = '0';

  async begin(): Promise<Fields> {
    this.#last = String((await rows('SELECT CONNECTION_ID()'))[0]![0]);
    this.#table = await table('n int, text text, filler longtext, at int PRIMARY KEY AUTO_INCREMENT');
    return { url: `mysql://t:t@127.0.0.1:${server.port}/test`, table: this.#table };
  }

  override async restart(): Promise<void> {
    await super.restart();
    // The server counts from the start again.
    this.#last = '0';
  }

  async connected(): Promise<void> {
    // One that sleeps longer than between the statements that open it.
    const sql = `SELECT 1 FROM information_schema.PROCESSLIST WHERE ID > ${this.#last} AND ID <> CONNECTION_ID() AND COMMAND = 'Sleep' AND TIME_MS > 100`;
    await until('a connection', async () => (await rows(sql)).length > 0);
  }

  async arrived(): Promise<readonly string[]> {
    const found = await rows(`SELECT n, text FROM ${this.#table} ORDER BY at`);
    return found.map(([n, text]) => JSON.stringify({ n: Number(n), text }));
  }
}

// Rows can be read before their COMMIT is answered: without a key, a killed server may have them twice.
runKit('output', 'mysql', { test, peer: new TablePeer(server), refused: '{"n":"none"}', repeats: true });
