import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Fields } from '../../src/testing-api.ts';
import { runKit } from '../contract/run.ts';
import { cli } from '../support/cli.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { redis, redisAll, redisJson, redisServer } from '../support/servers/redis.ts';
import { ServerPeer } from '../support/servers/server-peer.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith, Tool } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { Feed, FEED } from './feed.ts';

const test = testWith('redis-server');
const server = await redisServer();
let keys = 0;

const newKey = (): string => `k${keys++}`;
const single = (): string => `mode: { type: single, url: 'redis://127.0.0.1:${server.port}' }`;

/** A file with one stream from a list of messages to Redis. */
function file(messages: readonly string[], fields: string, input = ''): string {
  return `
streams:
  - input: { type: memory, messages: ${JSON.stringify(messages)} ${input} }
    output: { type: redis, ${single()}, ${fields} }
    error_output: { type: collect, name: errors }
`;
}

async function written(messages: readonly string[], fields: string, input?: string): Promise<Run> {
  const run = await startEngine(file(messages, fields, input));
  await run.ended;
  return run;
}

const list = async (key: string): Promise<unknown> =>
  await redisJson(server.port, ['lrange', key, '0', '-1']);

/** The fields of each entry, as a list of names and values. */
async function entries(key: string): Promise<string[][]> {
  const all = (await redisJson(server.port, ['xrange', key, '-', '+'])) as [id: string, fields: string[]][];
  return all.map(([, fields]) => fields);
}

const ODD = ['{"n":12345678901234567890.10}', '{"t":"ü\\u0000€😀"}', 'no JSON', '', ' ', '\u0000'];

test('a list gets every message, byte for byte and in order', async () => {
  const key = newKey();
  const many = Array.from({ length: 2500 }, (_, n) => `{"n":${n}}`);
  await written([...ODD, ...many], `redis_type: { type: list, key: ${key} }`);
  expect(await list(key)).toEqual([...ODD, ...many]);
});

test('a stream gets an entry of each message, with other fields, and keeps about as many as it may', async () => {
  const key = newKey();
  const fields = `{ device: '{{json:d}}', sum: { type: expr, expr: a + 1 } }`;
  await written(
    ['{"d":"x","a":1}', '{"a":2}'],
    `redis_type: { type: stream, stream: ${key}, fields: ${fields} }`,
    ', codec: { type: json }',
  );
  expect(await entries(key)).toEqual([
    ['body', '{"d":"x","a":1}', 'device', 'x', 'sum', '2'],
    ['body', '{"a":2}', 'sum', '3'],
  ]);
  const many = Array.from({ length: 2000 }, (_, n) => String(n));
  const other = newKey();
  await written(many, `redis_type: { type: stream, stream: ${other}, body_key: text, max_length: 500 }`);
  const kept = await entries(other);
  expect(kept.at(-1)).toEqual(['text', '1999']);
  expect(kept.length).toBeGreaterThanOrEqual(500);
  expect(kept.length).toBeLessThan(1000);
});

test('hashes and strings keep the last message of a key', async () => {
  const key = newKey();
  const messages = ['{"d":"a","v":1}', '{"d":"b","v":2}', '{"d":"a","v":3}', '{"v":4}'];
  const run = await written(messages, `redis_type: { type: hashes, key: ${key}, field: '{{json:d}}' }`);
  expect(await redisJson(server.port, ['hgetall', key])).toEqual({ a: messages[2], b: messages[1] });
  expect(run.output('errors').values).toMatchObject([
    { payload: '{"v":4}', error: { code: 'MILLRACE_OUTPUT_NO_VALUE' } },
  ]);
  await written(messages.slice(0, 3), `redis_type: { type: strings, key: '${key}:{{json:d}}', ttl: 1h }`);
  expect(await redis(server.port, ['get', `${key}:a`])).toBe(messages[2]);
  expect(Number(await redis(server.port, ['pttl', `${key}:b`]))).toBeGreaterThan(3_000_000);
  await written(messages.slice(0, 1), `redis_type: { type: strings, key: ${key}:for-ever }, value_field: v`);
  expect(await redis(server.port, ['get', `${key}:for-ever`])).toBe('1');
  expect(await redis(server.port, ['ttl', `${key}:for-ever`])).toBe('-1');
});

test('ArkFlow’s expressions name the key, and an expression that is wrong is told before the start', async () => {
  const key = newKey();
  const expression = `{ type: expr, expr: "concat('${key}-', d)" }`;
  const codec = ', codec: { type: json }';
  await written(['{"d":"a"}', '{"d":"b"}'], `redis_type: { type: list, key: ${expression} }`, codec);
  expect([await list(`${key}-a`), await list(`${key}-b`)]).toEqual([['{"d":"a"}'], ['{"d":"b"}']]);
  const wrong = file(['1'], `redis_type: { type: list, key: { type: expr, expr: 'concat(' } }`, codec);
  await expect(startEngine(wrong)).rejects.toThrow('not an expression');
});

test('subscribers of a channel get every message in order', async () => {
  const channel = newKey();
  const subscriber = new Tool('redis-cli', ['-p', String(server.port), 'psubscribe', `${channel}*`]);
  await subscriber.line(/^psubscribe$/);
  const messages = ['{"c":1}', '{"c":2}', '{"c":1,"n":3}'];
  await written(messages, `redis_type: { type: publish, channel: '${channel}{{json:c}}' }`);
  await until('three', () => subscriber.lines.filter((line) => line === 'pmessage').length === 3);
  await subscriber.line(/"n":3/);
  expect(subscriber.lines.filter((line) => line.startsWith('{'))).toEqual(messages);
});

test('a message whose key holds something else goes to error_output alone', async () => {
  const key = newKey();
  redisAll(server.port, `set ${key}-b text\n`);
  const messages = ['{"d":"a","n":1}', '{"d":"b","n":2}', '{"d":"b","n":3}', '{"d":"a","n":4}'];
  const run = await written(messages, `redis_type: { type: list, key: '${key}-{{json:d}}' }`);
  expect(await list(`${key}-a`)).toEqual([messages[0], messages[3]]);
  expect(run.output('errors').values).toMatchObject([
    {
      payload: messages[1],
      error: { code: 'MILLRACE_OUTPUT_REFUSED', message: expect.stringContaining('WRONGTYPE') },
    },
    { payload: messages[2] },
  ]);
});

test('a user may write to some keys only: messages for others go to error_output, the rest of their batch is written', async () => {
  const key = newKey();
  redisAll(server.port, `acl setuser some on >a-secret ~${key}-* +@all\n`);
  const messages = ['{"d":"a"}', '{"d":"other"}', '{"d":"b"}'];
  const text = file(
    messages,
    `redis_type: { type: list, key: '{{json:k:-${key}}}-{{json:d}}' }, username: some, password: a-secret`,
  );
  const run = await startEngine(
    text.replace('{\\"d\\":\\"other\\"}', `{\\"k\\":\\"secret\\",\\"d\\":\\"x\\"}`),
  );
  await run.ended;
  expect([await list(`${key}-a`), await list(`${key}-b`)]).toEqual([['{"d":"a"}'], ['{"d":"b"}']]);
  expect(run.output('errors').values).toMatchObject([
    {
      payload: '{"k":"secret","d":"x"}',
      error: { code: 'MILLRACE_OUTPUT_REFUSED', message: expect.stringContaining('NOPERM') },
    },
  ]);
});

test('a full server holds the stream back, and readiness says why', async () => {
  const key = newKey();
  redisAll(server.port, 'config set maxmemory 1\n');
  try {
    const run = await startEngine(file(['{"n":1}'], `redis_type: { type: list, key: ${key} }`));
    await until('readiness to say why', async () => (await run.http('/readiness')).text.includes('OOM'));
    redisAll(server.port, 'config set maxmemory 0\n');
    await run.ended;
    expect(await list(key)).toEqual(['{"n":1}']);
  } finally {
    redisAll(server.port, 'config set maxmemory 0\n');
  }
});

test('messages that too few replicas have are not confirmed', async () => {
  const key = newKey();
  const replica = await redisServer({ options: ['--replicaof', '127.0.0.1', String(server.port)] });
  await until('the replica', async () =>
    (await redis(server.port, ['info', 'replication'])).includes('state=online'),
  );
  replica.freeze();
  const run = await startEngine(
    file(['1'], `redis_type: { type: strings, key: ${key} }, replicas: 1, timeout: 100ms`),
  );
  await until('readiness to say why', async () =>
    (await run.http('/readiness')).text.includes('0 replicas have the messages; `replicas` demands 1'),
  );
  replica.thaw();
  await run.ended;
  expect(await redis(replica.port, ['get', key])).toBe('1');
  await replica.remove();
});

test('a server that is killed under load, and comes back: nothing is lost, and order is kept', async () => {
  const key = newKey();
  const run = await startEngine(`
streams:
  - input: ${FEED}
    output: { type: redis, ${single()}, redis_type: { type: list, key: ${key} } }
`);
  const feed = new Feed(run);
  for (let round = 0; round < 3; round++) {
    const before = await run.metric('millrace_output_messages_total');
    await until('more', async () => (await run.metric('millrace_output_messages_total')) > before + 500);
    await server.restart();
  }
  await feed.stop();
  await run.idle();
  const got = (await list(key)) as string[];
  // Whole batches may be there twice.
  const firsts = [...new Set(got)];
  expect(firsts).toEqual(feed.messages);
});

test('a frozen server: the stream waits, readiness says why, and a stop takes no answer', async () => {
  const key = newKey();
  const run = await startEngine(`
streams:
  - input: ${FEED}
    output: { type: redis, ${single()}, redis_type: { type: list, key: ${key} }, timeout: 300ms }
`);
  const feed = new Feed(run);
  await until('some', async () => (await run.metric('millrace_output_messages_total')) > 100);
  server.freeze();
  try {
    await until('readiness to say why', async () =>
      (await run.http('/readiness')).text.includes('no answer within 0.3 s'),
    );
    server.thaw();
    await until('more', async () => (await run.metric('millrace_output_messages_total')) > 1000);
    server.freeze();
    // The end of the stream cancels a write of the feed that is still under way.
    const stopped = feed.stop().catch(() => {});
    await run.abort();
    await stopped;
  } finally {
    server.thaw();
  }
  const got = new Set((await list(key)) as string[]);
  expect([...got]).toEqual(feed.messages.slice(0, got.size));
});

test('a password, and TLS with a certificate of the client', async () => {
  const { dir } = server;
  const ssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' });
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const pair = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key.pem'];
  ssl('req', '-x509', ...pair, '-out', 'cert.pem', '-days', '2', ...subject);
  const secured = await redisServer({
    password: 'p@ss:word',
    options: [
      '--tls-port',
      '0',
      '--tls-cert-file',
      `${dir}/cert.pem`,
      '--tls-key-file',
      `${dir}/key.pem`,
      '--tls-ca-cert-file',
      `${dir}/cert.pem`,
    ],
  });
  const tlsPort = 20_000 + ((secured.port + 7) % 12_000);
  await redis(secured.port, ['config', 'set', 'tls-port', String(tlsPort)], 'p@ss:word');
  const text = (url: string, more: string): string => `
streams:
  - input: { type: memory, messages: ['1'] }
    output: { type: redis, mode: { type: single, url: '${url}' }, redis_type: { type: list, key: k } ${more} }
`;
  const files = `, tls: { ca_file: ${dir}/cert.pem, cert_file: ${dir}/cert.pem, key_file: ${dir}/key.pem }`;
  const run = await startEngine(text(`rediss://:p%40ss%3Aword@localhost:${tlsPort}`, files));
  await run.ended;
  expect(await redis(secured.port, ['lrange', 'k', '0', '-1'], 'p@ss:word')).toBe('1');

  const wrong = await startEngine(text(`redis://127.0.0.1:${secured.port}`, ', password: not-the-password'));
  await until('readiness to say why', async () =>
    (await wrong.http('/readiness')).text.includes('WRONGPASS'),
  );
  expect(JSON.stringify(wrong.log)).not.toContain('not-the-password');
  const stranger = await startEngine(text(`rediss://localhost:${tlsPort}`, ', password: p@ss:word'));
  await until('readiness to say why', async () =>
    (await stranger.http('/readiness')).text.includes('self-signed'),
  );
  await secured.remove();
});

test('check --dial says whether it connects', async () => {
  const path = join(tempDir().path, 'millrace.yaml');
  const output = (more: string): string =>
    `streams: [{ input: { type: memory, messages: ['1'] }, output: { type: redis, ${single()}, redis_type: { type: list, key: k } ${more} } }]`;
  writeFileSync(path, output(''));
  expect(await cli(['check', '--dial', path])).toMatchObject({ code: 0 });
  writeFileSync(path, output(', username: nobody, password: wrong'));
  const { code, stderr } = await cli(['check', '--dial', path]);
  expect([code, stderr]).toEqual([1, expect.stringContaining('WRONGPASS')]);
});

test('a cluster gets every message, each key in order', async () => {
  const cluster = await redisServer({
    options: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
  });
  await redis(cluster.port, ['cluster', 'addslotsrange', '0', '16383']);
  await until('the cluster', async () =>
    (await redis(cluster.port, ['cluster', 'info'])).includes('cluster_state:ok'),
  );
  const messages = Array.from({ length: 600 }, (_, n) => `{"d":${n % 3},"n":${n}}`);
  const run = await startEngine(`
streams:
  - input: { type: memory, messages: ${JSON.stringify(messages)} }
    output: { type: redis, mode: { type: cluster, urls: ['redis://127.0.0.1:${cluster.port}'] }, redis_type: { type: list, key: 'd{{json:d}}' } }
`);
  await run.ended;
  for (const device of [0, 1, 2]) {
    const got = await redisJson(cluster.port, ['lrange', `d${device}`, '0', '-1']);
    expect(got).toEqual(messages.filter((message) => message.includes(`"d":${device},`)));
  }
  await cluster.remove();
});

class RedisPeer extends ServerPeer {
  #key = '';

  async begin(): Promise<Fields> {
    this.#key = newKey();
    return {
      mode: { type: 'single', url: `redis://default:a-secret-of-the-url@127.0.0.1:${server.port}` },
      redis_type: { type: 'list', key: this.#key },
    };
  }

  async arrived(): Promise<readonly string[]> {
    return (await list(this.#key)) as string[];
  }
}

runKit('output', 'redis', { of: 'list', test, peer: new RedisPeer(server) });
