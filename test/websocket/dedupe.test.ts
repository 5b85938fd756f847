import { expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, connectClient, send, type RawPeer } from '../support/peers.ts';
import { until } from '../support/until.ts';

const client = (url: string, dedupe = '{ key: id }', more = ''): string => `
streams:
  - input:
      type: websocket
      url: "${url}"
      redundancy: 2
      dedupe: ${dedupe}
      reconnect: { initial: 1ms, max: 20ms }
    output: { type: collect }
    ${more}
`;

const server = (dedupe: string, more = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, dedupe: ${dedupe} }
    output: { type: collect }
    ${more}
`;

const message = (id: number): string => `{"id":${id},"v":"x"}`;
const ids = (values: unknown[]): number[] => values.map((value) => (value as { id: number }).id);
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);
const write = (peer: RawPeer, numbers: readonly number[]): void =>
  void peer.socket.write(Buffer.concat(numbers.map((id) => frame('text', message(id)))));

test('two connections to one URL give each message once, in order, whichever is ahead', async () => {
  const feed = await new FaultServer().up();
  const run = await startEngine(client(feed.url));
  const [a, b] = [await feed.peer(0), await feed.peer(1)];
  let sentA = 0;
  let sentB = 0;
  // They take turns to be ahead.
  for (let step = 1; step <= 60; step++) {
    const to = step * 10;
    const first = step % 3 === 0 ? a : b;
    write(first, range((first === a ? sentA : sentB) + 1, to));
    if (first === a) sentA = to;
    else sentB = to;
    await run.output().count(to);
  }
  write(a, range(sentA + 1, 600));
  write(b, range(sentB + 1, 600));
  write(a, [601]);
  await run.output().count(601);
  expect(ids(run.output().values)).toEqual(range(1, 601));
  await run.metricIs(600, 'millrace_messages_dropped_total', 'stage="input"', 'reason="duplicate"');
  expect(await run.metric('millrace_input_messages_total')).toBe(1201);
  expect(new Set(run.output().messages.map(({ source }) => source))).toEqual(new Set([feed.url]));
  await run.idle();
  expect(feed.peers).toHaveLength(2);
});

test('with one connection down nothing is missed and the input is still ready; the connection comes back', async () => {
  const feed = await new FaultServer().up();
  const run = await startEngine(client(feed.url));
  let next = 1;
  for (let round = 0; round < 6; round++) {
    await until('both connections', () => live(feed).length === 2);
    const [lost, stays] = live(feed) as [RawPeer, RawPeer];
    const batch = range(next, next + 9);
    next += 10;
    // One dies in the middle of what both send.
    feed.behaviour = () => {};
    write(lost, batch.slice(0, 4));
    lost.socket.destroy();
    write(stays, batch);
    await run.output().count(next - 1);
    const { status } = await run.http('/readiness');
    expect(status).toBe(200);
    feed.behaviour = (peer) => void peer.accept();
    for (const peer of feed.peers) if (peer.socket.bytesWritten === 0) peer.accept();
  }
  expect(ids(run.output().values)).toEqual(range(1, 60));
});

/** The connections that have been accepted and are open. */
const live = (feed: FaultServer): RawPeer[] =>
  feed.peers.filter(({ socket }) => !socket.destroyed && socket.bytesWritten > 0);

test('with both down it is not ready', async () => {
  const feed = await new FaultServer().up();
  const run = await startEngine(client(feed.url));
  await until('readiness', async () => (await run.http('/readiness')).status === 200);
  await feed.down();
  await until('the end of it', async () => (await run.http('/readiness')).status === 503);
});

test('a server’s clients that send the same message are one source of it', async () => {
  const run = await startEngine(server('{ key: data.id, per: all }'));
  const [one, two] = [await connectClient(await run.url()), await connectClient(await run.url())];
  await send(one, '{"data":{"id":"a"},"from":1}', '{"data":{"id":"a"},"from":1}');
  await run.output().count(1);
  await send(two, '{"from":2,"data":{"id":"a"}}', '{"data":{"id":"b"},"from":2}');
  await run.output().count(2);
  await send(one, '{"data":{"id":"b"}}', '{"data":{"id":"c"},"from":1}');
  expect(await run.output().count(3)).toEqual([
    '{"data":{"id":"a"},"from":1}',
    '{"data":{"id":"b"},"from":2}',
    '{"data":{"id":"c"},"from":1}',
  ]);
});

test('a message without a key is passed on, and one that is not JSON does not stand for one that is', async () => {
  const run = await startEngine(server('{ key: id }'));
  const client = await connectClient(await run.url());
  const sent = ['text', 'text', '{"id":null}', '{"id":null}', '{"id":7', '{"id":7}} ', '{"id":7}', '{"x":1}'];
  await send(client, ...sent, '{"id":7}', Buffer.from('{"id":7,"binary":true}'), 'end');
  expect(await run.output().count(9)).toEqual([...sent, 'end']);
});

test('numbers differ by any digit, and long keys by any character', async () => {
  const run = await startEngine(server('{ key: id }'));
  const client = await connectClient(await run.url());
  const long = 'k'.repeat(100_000);
  const sent = [
    '{"id":9007199254740993}',
    '{"id":9007199254740992}',
    `{"id":"${long}1"}`,
    `{"id":"${long}2"}`,
  ];
  await send(client, ...sent, ...sent, '{"id":"end"}');
  expect(await run.output().count(5)).toEqual([...sent, '{"id":"end"}']);
});

test('`max_keys` bounds the memory: the oldest keys are forgotten first', async () => {
  const run = await startEngine(server('{ key: id, max_keys: 3 }'));
  const client = await connectClient(await run.url());
  await send(client, ...[1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 1, 1, 2].map(message));
  await run.output().count(6);
  expect(ids(run.output().values)).toEqual([1, 2, 3, 4, 1, 2]);
});

test('after `window` a message is passed on again', async () => {
  const run = await startEngine(server('{ key: id, window: 100ms }'));
  const client = await connectClient(await run.url());
  await until('the second of them', async () => {
    await send(client, message(1));
    return run.output().texts.length >= 2;
  });
  const counted = await startEngine(server('{ key: id, window: 1h }'));
  const other = await connectClient(await counted.url());
  for (let round = 0; round < 50; round++) await send(other, message(1));
  await send(other, message(2));
  await counted.output().count(2);
  expect(ids(counted.output().values)).toEqual([1, 2]);
});

test('the window begins when the message is confirmed: a stalled output makes no duplicates', async () => {
  const run = await startEngine(server('{ key: id, window: 1ms }'));
  const client = await connectClient(await run.url());
  run.output().hold();
  await send(client, message(1));
  await until('the first write', () => run.output().writes === 1);
  for (let round = 0; round < 20; round++) {
    await send(client, message(1));
    // The clock: much longer than the window in all.
    await run.http('/health');
  }
  await send(client, message(2));
  await until('all to have come', async () => (await run.inFlight()).messages === 22);
  run.output().release();
  await run.output().count(2);
  expect(ids(run.output().values)).toEqual([1, 2]);
  await run.idle();
});

test('a dropped repeat is confirmed with the first message: a stalled output holds both back', async () => {
  const feed = await new FaultServer().up();
  const run = await startEngine(client(feed.url, '{ key: id }', 'in_flight: { messages: 10 }'));
  run.output().hold();
  const [a, b] = [await feed.peer(0), await feed.peer(1)];
  write(a, range(1, 5));
  await until('five in flight', async () => (await run.inFlight()).messages === 5);
  write(b, range(1, 5));
  await until('ten in flight', async () => (await run.inFlight()).messages === 10);
  run.output().release();
  await run.idle();
  expect(ids(run.output().values)).toEqual(range(1, 5));
});

test('events of the sessions’ lifecycle are never taken for duplicates', async () => {
  const run = await startEngine(server('{ key: event }, lifecycle_events: true'));
  for (let round = 0; round < 3; round++) (await connectClient(await run.url())).socket.close();
  const events = (await run.output().count(6)).map((text) => (JSON.parse(text) as { event: string }).event);
  expect(events.filter((event) => event === 'session_opened')).toHaveLength(3);
});

test.each([
  ['{ }', 'dedupe.key: '],
  ['{ key: "" }', 'dedupe.key: "" is not a path; expected one like id, data.id or items[0].id'],
  ['{ key: id, window: 0 }', 'dedupe.window: 0 is out of range'],
  ['{ key: id, max_keys: 0 }', 'dedupe.max_keys: '],
])('dedupe: %s is a mistake', (dedupe, mistake) => {
  expect(configMistakes(server(dedupe)).join('\n')).toContain(`streams[0].input.${mistake}`);
});
