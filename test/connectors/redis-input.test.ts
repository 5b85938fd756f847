import { expect } from 'vitest';
import type { Fields } from '../../src/testing-api.ts';
import { runKit } from '../contract/run.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { redis, redisAll, redisServer } from '../support/servers/redis.ts';
import { ServerPeer } from '../support/servers/server-peer.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';

const test = testWith('redis-server');
const server = await redisServer();
let keys = 0;

const newKey = (): string => `k${keys++}`;

/** A stream from Redis to a list in memory. */
async function reading(kind: string, more = ''): Promise<Run> {
  return await startEngine(`
streams:
  - input: { type: redis, mode: { type: single, url: 'redis://127.0.0.1:${server.port}' }, redis_type: ${kind}, timeout: 2s }
    output: { type: collect }
${more}
`);
}

const numbered = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, n) => `{"n":${from + n}}`);

/** Adds an entry for each message. */
function add(key: string, messages: readonly string[]): void {
  redisAll(server.port, messages.map((message) => `xadd ${key} * body '${message}'\n`).join(''));
}

function push(key: string, messages: readonly string[]): void {
  redisAll(server.port, messages.map((message) => `rpush ${key} '${message}'\n`).join(''));
}

/** The number of entries that consumers of the group hold; undefined while there is no group. */
async function pending(key: string, group = 'g'): Promise<number | undefined> {
  const answer = await redis(server.port, ['--json', 'xpending', key, group]);
  return answer.startsWith('[') ? (JSON.parse(answer) as [number])[0] : undefined;
}

const texts = (run: Run): readonly string[] => run.output().texts;

test('a stream: every entry in order, with its metadata, acknowledged when it is delivered', async () => {
  const key = newKey();
  const many = numbered(2500);
  add(key, many);
  redisAll(
    server.port,
    `xadd ${key} 9999999999999-7 body last device x other y\nxadd ${key} * a 1 b "\\xc3\\xbc\\""\n`,
  );
  const run = await reading(`{ type: stream, streams: [${key}], consumer_group: g, fields: [device] }`);
  await until('all', () => texts(run).length === 2502);
  expect(texts(run)).toEqual([...many, 'last', '{"a":"1","b":"ü\\""}']);
  const { ext, eventTime } = run.output().messages[2500]!;
  expect(ext).toEqual({ stream: key, entry_id: '9999999999999-7', device: 'x' });
  expect(eventTime).toBe(9_999_999_999_999_000);
  await until('no entry to be pending', async () => (await pending(key)) === 0);
  add(key, ['{"late":1}']);
  await until('the late one', () => texts(run).at(-1) === '{"late":1}');
  await run.stop();
  expect(await pending(key)).toBe(0);
});

test('two processes of a group share a stream; a new group that wants it begins at its end', async () => {
  const key = newKey();
  const kind = (consumer: string): string =>
    `{ type: stream, streams: [${key}], consumer_group: g, consumer: ${consumer} }`;
  const one = await reading(kind('one'));
  const other = await reading(kind('other'));
  const late = await reading(
    `{ type: stream, streams: [${key}], consumer_group: late, start_from_oldest: false }`,
  );
  await late.connected();
  const messages = numbered(2000);
  add(key, messages);
  await until('all', () => texts(one).length + texts(other).length === 2000);
  expect(new Set([...texts(one), ...texts(other)])).toEqual(new Set(messages));
  await until('the same', () => texts(late).length === 2000);
  const latest = await reading(
    `{ type: stream, streams: [${key}], consumer_group: latest, start_from_oldest: false }`,
  );
  await latest.connected();
  await until('the group', async () =>
    (await redis(server.port, ['xinfo', 'groups', key])).includes('latest'),
  );
  add(key, ['{"n":"new"}']);
  await until('the new one', () => texts(latest).length > 0);
  expect(texts(latest)).toEqual(['{"n":"new"}']);
});

test('entries that a process did not finish come again when it restarts, first and in order', async () => {
  const key = newKey();
  const kind = `{ type: stream, streams: [${key}], consumer_group: g, consumer: one }`;
  add(key, numbered(300));
  const first = await reading(kind);
  first.output().hold();
  await until('entries to be pending', async () => ((await pending(key)) ?? 0) >= 100);
  await first.abort({ release: false });
  add(key, numbered(100, 300));
  const second = await reading(kind);
  await until('all', () => texts(second).length === 400);
  expect(texts(second)).toEqual(numbered(400));
  await until('no entry to be pending', async () => (await pending(key)) === 0);
});

test('entries of a consumer that is gone go to another one; those of one that lives and is slow do not', async () => {
  const key = newKey();
  const kind = (consumer: string): string =>
    `{ type: stream, streams: [${key}], consumer_group: g, consumer: ${consumer}, claim_after: 600ms }`;
  add(key, numbered(10));
  const slow = await reading(kind('slow'));
  slow.output().hold();
  await until('entries to be pending', async () => ((await pending(key)) ?? 0) >= 10);
  // A consumer that takes three entries of another stream, and never returns.
  const gone = newKey();
  add(gone, numbered(3));
  await redis(server.port, ['xgroup', 'create', gone, 'g', '0']);
  await redis(server.port, ['xreadgroup', 'group', 'g', 'dead', 'count', '3', 'streams', gone, '>']);
  const other = await reading(
    `{ type: stream, streams: [${key}, ${gone}], consumer_group: g, consumer: other, claim_after: 600ms }`,
  );
  await until('those of the dead one', () => texts(other).length >= 3);
  expect(texts(other)).toEqual(numbered(3));
  slow.output().release();
  await until('all', () => texts(slow).length === 10);
  await until('no entry to be pending', async () => (await pending(key)) === 0);
  expect(texts(other)).toEqual(numbered(3));
});

test('a stream through a server that is killed: nothing is lost, and order is kept', async () => {
  const key = newKey();
  const run = await reading(`{ type: stream, streams: [${key}], consumer_group: g }`);
  for (let round = 0; round < 3; round++) {
    add(key, numbered(1000, round * 1000));
    await until('some', () => texts(run).length > round * 1000 + 100);
    await server.restart();
  }
  await until('all', () => new Set(texts(run)).size === 3000);
  expect([...new Set(texts(run))]).toEqual(numbered(3000));
  await until('no entry to be pending', async () => (await pending(key)) === 0);
});

test('lists: every element in order, gone when it is delivered', async () => {
  const [one, other] = [newKey(), newKey()];
  push(one, numbered(2500));
  const run = await reading(`{ type: list, list: [${one}, ${other}], consumer: c }`);
  await until('all', () => texts(run).length === 2500);
  expect(texts(run)).toEqual(numbered(2500));
  push(other, ['"late"']);
  await until('the late one', () => texts(run).at(-1) === '"late"');
  expect(run.output().messages.at(-1)!.ext).toEqual({ list: other });
  await run.stop();
  expect(await redis(server.port, ['exists', one, other, `{${one}}:taken:c`, `{${other}}:taken:c`])).toBe(
    '0',
  );
});

test('elements that a process did not finish come again when it restarts, first and in order', async () => {
  const key = newKey();
  const kind = `{ type: list, list: [${key}], consumer: c }`;
  push(key, numbered(300));
  const first = await reading(kind);
  first.output().hold();
  await until(
    'elements to be taken',
    async () => Number(await redis(server.port, ['llen', `{${key}}:taken:c`])) >= 100,
  );
  await first.abort({ release: false });
  const second = await reading(kind);
  await until('all', () => texts(second).length === 300);
  expect(texts(second)).toEqual(numbered(300));
  await second.stop();
  expect(await redis(server.port, ['exists', key, `{${key}}:taken:c`])).toBe('0');
});

test('a list through a server that is killed: nothing is lost, nothing twice, in order', async () => {
  const key = newKey();
  const run = await reading(`{ type: list, list: [${key}], consumer: c }`);
  for (let round = 0; round < 3; round++) {
    push(key, numbered(1000, round * 1000));
    await until('some', () => texts(run).length > round * 1000 + 100);
    await server.restart();
  }
  await until('all', () => texts(run).length >= 3000);
  expect(texts(run)).toEqual(numbered(3000));
  await run.stop();
  expect(await redis(server.port, ['exists', key, `{${key}}:taken:c`])).toBe('0');
});

test('channels and patterns: messages with their channel, and none is lost while the stream stands still', async () => {
  const channel = newKey();
  const run = await reading(
    `{ type: subscribe, subscribe: { type: patterns, patterns: ['${channel}.*'] } }`,
    '    in_flight: { messages: 100 }',
  );
  const plain = await reading(`{ type: subscribe, subscribe: { type: channels, channels: [${channel}.a] } }`);
  await run.connected();
  await plain.connected();
  run.output().hold();
  const messages = numbered(2000);
  redisAll(server.port, messages.map((message) => `publish ${channel}.a '${message}'\n`).join(''));
  await until('a full budget', async () => (await run.inFlight()).messages >= 100);
  run.output().release();
  await until('all', () => texts(run).length === 2000 && texts(plain).length === 2000);
  expect(texts(run)).toEqual(messages);
  expect(texts(plain)).toEqual(messages);
  expect(run.output().messages[0]!.ext).toEqual({ channel: `${channel}.a` });
});

test('a subscriber connects again after the server was killed', async () => {
  const channel = newKey();
  const run = await reading(`{ type: subscribe, subscribe: { type: channels, channels: [${channel}] } }`);
  await run.connected();
  await server.restart();
  await until('a message', async () => {
    await redis(server.port, ['publish', channel, '1']);
    return texts(run).length > 0;
  });
});

class StreamPeer extends ServerPeer {
  #key = '';

  async begin(): Promise<Fields> {
    this.#key = newKey();
    return {
      mode: { type: 'single', url: `redis://default:a-secret-of-the-url@127.0.0.1:${server.port}` },
      redis_type: { type: 'stream', streams: [this.#key], consumer_group: 'g' },
    };
  }

  async connected(): Promise<void> {
    await until('the group', async () => (await redis(server.port, ['exists', this.#key])) === '1');
  }

  push(messages: readonly string[]): void {
    add(this.#key, messages);
  }
}

runKit('input', 'redis', { of: 'stream', test, peer: new StreamPeer(server) });
