import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { connectClient, rawUpgrade, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();

/** Messages of rooms, in any order: each room's are numbered. */
const messages = Array.from({ length: 60 }, (_, n) => ({ room: ['a', 'b/..', 'ü'][n % 3], n }));
const of = (room: string): object[] => messages.filter((message) => message.room === room);

const lines = (text: string): unknown[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));

test('a key that a query gives decides the file, and is not in the lines', async () => {
  const folder = join(dir.path, 'keys');
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    pipeline:
      processors:
        - { type: sql, query: 'SELECT *, room AS __meta_key, n AS __meta_partition FROM flow WHERE room IS NOT NULL' }
    output: { type: file, path: '${folder}/{{key}}.jsonl' }
    error_output: { type: collect, name: errors }
`);
  const client = await connectClient(await run.url());
  await send(client, ...messages.map((message) => JSON.stringify(message)));
  await run.metricIs(60, 'millrace_output_messages_total');
  for (const [room, name] of [
    ['a', 'a'],
    ['b/..', 'b%2F..'],
    ['ü', 'ü'],
  ] as const) {
    expect(lines(readFileSync(join(folder, `${name}.jsonl`), 'utf8'))).toEqual(of(room));
  }
});

test('a key decides which sessions get a message; a session without that room gets none', async () => {
  const run = await startEngine(`
streams:
  - id: rooms
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /rooms, metadata: { query: [room] } }
    output: { type: drop }
  - id: feed
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in, codec: { type: json } }
    pipeline:
      processors:
        - { type: sql, query: 'SELECT n, room AS __meta_key FROM flow' }
    output: { type: websocket, mode: server, path: /rooms, match: { query.room: '{{key}}' } }
`);
  const url = await run.url('rooms');
  const rooms = ['a', 'b/..', 'ü', 'c'];
  const peers = await Promise.all(rooms.map((room) => rawUpgrade(`${url}?room=${encodeURIComponent(room)}`)));
  await run.metricIs(4, 'millrace_connections_open', 'stream="rooms"', 'stage="input"');
  const client = await connectClient(await run.url('feed'));
  await send(client, ...[...messages, { room: 'c', n: -1 }].map((message) => JSON.stringify(message)));
  await until('all messages', () => peers.every(({ texts }, at) => texts.length >= (at === 3 ? 1 : 20)));
  for (const [at, room] of rooms.entries()) {
    const expected =
      at === 3 ? [{ n: -1 }] : of(room).map((message) => ({ n: (message as { n: number }).n }));
    expect(peers[at]!.texts.map((text): unknown => JSON.parse(text))).toEqual(expected);
  }
});

test('a dead letter has the metadata that a query gave', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    pipeline:
      processors:
        - type: sql
          query: >-
            SELECT *, room AS __meta_key, n AS __meta_partition, n AS __meta_offset,
                   make_timestamp(n) AS __meta_event_time, {'rooms': [room, 'all'], 'n': n} AS __meta_ext FROM flow
        - { type: sql, query: 'SELECT CAST(room AS INTEGER) AS v FROM flow' }
    output: { type: drop }
    error_output: { type: collect, name: errors }
`);
  await send(await connectClient(await run.url()), '{"room":"x","n":7}');
  await run.output('errors').count(1);
  expect(run.output('errors').values[0]).toMatchObject({
    payload: '{"room":"x","n":7}',
    metadata: {
      __meta_key: 'x',
      __meta_partition: 7,
      __meta_offset: 7,
      __meta_event_time: '1970-01-01T00:00:00.000007Z',
      __meta_ext: { rooms: ['x', 'all'], n: 7 },
    },
  });
});
