import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, connectClient, rawUpgrade, send } from '../support/peers.ts';
import { until } from '../support/until.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const micros = (): number => Date.now() * 1000;

test('“__meta_source: WebSocket endpoint identifier” is the URL that the server listens on', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in }
    output: { type: collect }
`);
  const url = await run.url();
  await send(await connectClient(url), 'x');
  await run.output().count(1);
  expect(run.output().messages[0]!.source).toBe(url);
});

test('it is the URL that the client connects to, without its secrets; or the input’s `name`', async () => {
  const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'x') })).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://u:pw@127.0.0.1:${server.port}/feed?api_key=k&pair=BTC" }
    output: { type: collect, name: url }
  - input: { type: websocket, name: exchange, url: "${server.url}" }
    output: { type: collect, name: named }
`);
  await run.output('url').count(1);
  await run.output('named').count(1);
  expect(run.output('url').messages[0]!.source).toBe(
    `ws://u:***@127.0.0.1:${server.port}/feed?api_key=***&pair=BTC`,
  );
  expect(run.output('named').messages[0]!.source).toBe('exchange');
});

test('“__meta_ingest_time: Message reception timestamp” is taken as each frame arrives, in microseconds', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    pipeline: { thread_num: 1 }
    output: { type: collect }
`);
  // While the output is held, messages wait, and go on as one batch afterwards.
  run.output().hold();
  const client = await connectClient(await run.url());
  const windows: [number, number][] = [];
  for (let sent = 1; sent <= 10; sent++) {
    const before = micros();
    await send(client, String(sent));
    await until(`message ${sent} to be in flight`, async () => {
      await run.http('/readiness');
      return (await run.metric('millrace_in_flight_messages')) === sent;
    });
    windows.push([before, micros() + 1000]);
  }
  run.output().release();
  await run.output().count(10);
  const times = run.output().messages.map(({ time }) => time);
  for (const [index, time] of times.entries()) {
    expect(time).toBeGreaterThanOrEqual(windows[index]![0]);
    expect(time).toBeLessThanOrEqual(windows[index]![1]);
  }
  expect(times.every((time) => Number.isSafeInteger(time))).toBe(true);
  expect(times.some((time) => time % 1000 !== 0)).toBe(true);
});

test('`__meta_ext` of a server’s message: who sent it, how, and as which of its session', async () => {
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      path: /in
      protocols: [v2, v1]
      metadata: { headers: [X-Device, user-agent, x-missing, X-Twice], query: [room, q, missing] }
    output: { type: collect }
`);
  const peer = await rawUpgrade(`${await run.url()}?room=caf%C3%A9&other=1&q=a?b`, {
    'X-Device': 'd-17',
    'User-Agent': 'probe/1',
    'Sec-WebSocket-Protocol': 'v1, v2',
    'X-Not-Asked': 'no',
    'x-twice': 'one\r\nX-Twice: two',
  });
  expect(peer.header('sec-websocket-protocol')).toBe('v2');
  peer.socket.write(
    Buffer.concat([frame('text', 'a', { mask: true }), frame('binary', 'b', { mask: true })]),
  );
  await run.output().count(2);
  const [first, second] = run.output().messages.map(({ ext }) => ext);
  expect(first).toEqual({
    session_id: expect.stringMatching(UUID),
    remote_address: '127.0.0.1',
    path: '/in',
    protocol: 'v2',
    message_type: 'text',
    sequence: '1',
    'header.x-device': 'd-17',
    'header.user-agent': 'probe/1',
    'header.x-twice': 'one, two',
    'query.room': 'café',
    'query.q': 'a?b',
  });
  expect(second).toEqual({ ...first, message_type: 'binary', sequence: '2' });
});

test('`__meta_ext` of a client’s message', async () => {
  const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'x') })).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${server.url}?token=abc" }
    output: { type: collect }
`);
  await run.output().count(1);
  expect(run.output().messages[0]!.ext).toEqual({
    session_id: expect.stringMatching(UUID),
    remote_address: '127.0.0.1',
    path: '/feed',
    protocol: '',
    message_type: 'text',
    sequence: '1',
  });
});

test('a server picks the first of its protocols that the client offers, and none if it offers none of them', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, protocols: [v3, v2] }
    output: { type: collect }
`);
  const url = await run.url();
  const known = await connectClient(url, { protocols: ['v1', 'v2', 'v3'] });
  expect(known.socket.protocol).toBe('v3');
  const unknown = await rawUpgrade(url, { 'Sec-WebSocket-Protocol': 'v1' });
  expect(unknown.head).toMatch(/^HTTP\/1\.1 101 /);
  expect(unknown.header('sec-websocket-protocol')).toBeUndefined();
  const silent = await connectClient(url);
  expect(silent.socket.protocol).toBe('');
});

test('metadata are columns in SQL', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    pipeline:
      processors:
        - type: sql
          query: >-
            SELECT v, __meta_source AS source, epoch_us(__meta_ingest_time) AS time,
                   __meta_ext['message_type'] AS kind, __meta_ext['sequence'] AS sequence
            FROM flow
    output: { type: collect }
`);
  const url = await run.url();
  const before = micros();
  const client = await connectClient(url);
  await send(client, '{"v":1}');
  await run.output().count(1);
  await send(client, Buffer.from('{"v":2}'));
  await run.output().count(2);
  const [first, second] = run.output().values as [Record<string, unknown>, Record<string, unknown>];
  expect(first).toEqual({ v: 1, source: url, time: expect.any(Number), kind: 'text', sequence: '1' });
  expect(second).toMatchObject({ v: 2, kind: 'binary', sequence: '2' });
  expect(first['time']).toBeGreaterThanOrEqual(before);
  expect(first['time']).toBeLessThanOrEqual(micros() + 1000);
});
