import { expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();

const server = (id: string, port: number, path: string, more = ''): string => `
streams:
  - id: ${id}
    input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: "${path}", codec: { type: json } }
    output: { type: collect, name: ${id} }
    ${more}
`;

const select = (value: string): string =>
  `pipeline: { processors: [{ type: sql, query: "SELECT *, '${value}' AS by FROM flow" }] }`;

/** The ids of the streams that health lists, each with its state. */
async function states(run: Run): Promise<string[]> {
  const { text } = await run.http('/health');
  const { streams } = JSON.parse(text) as { streams: { id: string; state: string }[] };
  return streams.map(({ id, state }) => `${id} ${state}`);
}

test('a stream that is added takes in messages on a port that others have, and the others go on', async () => {
  const port = await freePort();
  const run = await startEngine(server('one', port, '/one'));
  const first = await connectClient(await run.url('one'));
  expect(await run.add(server('two', port, '/two'))).toEqual([]);
  const second = await connectClient(await run.url('two'));
  await send(first, '{"a":1}');
  await send(second, '{"a":2}');
  expect(await run.output('one').count(1)).toEqual(['{"a":1}']);
  expect(await run.output('two').count(1)).toEqual(['{"a":2}']);
  expect(await states(run)).toEqual(['one running', 'two running']);
  expect((await run.stop()).failed).toEqual([]);
});

test('a stream with a mistake is not added, and leaves nothing behind', async () => {
  const port = await freePort();
  const run = await startEngine(server('one', port, '/one'));
  await run.url('one');
  const taken = `the path /one on 127.0.0.1:${port} is taken by another component; give each its own path`;
  expect(await run.add(server('two', port, '/one'))).toEqual([`input: ${taken}`]);
  expect(await run.add(server('one', port, '/two'))).toEqual([
    'id: another stream is called one; give each stream its own id',
  ]);
  const broken = await run.add(
    server(
      'two',
      port,
      '/two',
      'pipeline: { processors: [{ type: sql, query: "SELECT nothing(1) FROM flow" }] }',
    ),
  );
  expect(broken).toHaveLength(1);
  expect(broken[0]).toMatch(/^pipeline\.processors\.0.*nothing/);
  expect(await states(run)).toEqual(['one running']);
  // Its id and its path are free.
  expect(await run.add(server('two', port, '/two'))).toEqual([]);
  expect(await states(run)).toEqual(['one running', 'two running']);
});

test('a stream that is removed drains, and frees its path, its metrics and the lock of its log', async () => {
  const port = await freePort();
  const log = `durability: { enabled: true, path: "${dir.path}/removed" }`;
  const run = await startEngine(server('one', port, '/one'));
  await run.add(server('two', port, '/two', log));
  const client = await connectClient(await run.url('two'));
  run.output('two').hold();
  await send(client, '{"a":1}');
  await until('the write', () => run.output('two').writes === 1);
  const removed = run.remove('two');
  await expect(run.remove('two')).rejects.toThrow('the stream two is already being changed');
  run.output('two').release();
  expect(await removed).toBeUndefined();
  expect(run.output('two').texts).toEqual(['{"a":1}']);
  expect((await client.closed).code).toBe(1001);
  expect((await run.http('/metrics')).text).not.toContain('stream="two"');
  expect((await run.http('/metrics')).text).toContain('stream="one"');
  expect(await states(run)).toEqual(['one running']);
  await expect(run.remove('two')).rejects.toThrow('no stream is called two');
  // Another stream may have the path and the log.
  expect(await run.add(server('three', port, '/two', log))).toEqual([]);
  const next = await connectClient(await run.url('three'));
  await send(next, '{"a":2}');
  expect(await run.output('three').count(1)).toEqual(['{"a":2}']);
});

test('an output that is removed writes to no session any more, and does not keep them open', async () => {
  const run = await startEngine(server('hub', 0, '/room'));
  const feed = `
streams:
  - id: feed
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in }
    output: { type: websocket, mode: server, path: /room }
`;
  expect(await run.add(feed)).toEqual([]);
  const reader = await connectClient(await run.url('hub'));
  const read: string[] = [];
  reader.socket.on('message', (data: Buffer) => read.push(data.toString()));
  const writer = await connectClient(await run.url('feed'));
  await run.metricIs(1, 'millrace_connections_open', 'stream="hub"');
  await send(writer, 'one');
  await until('the broadcast', () => read.length === 1);
  await run.remove('feed');
  expect(await run.add(feed.replace('feed', 'again'))).toEqual([]);
  const second = await connectClient(await run.url('again'));
  await send(second, 'two');
  await until('the next broadcast', () => read.length === 2);
  expect(read).toEqual(['one', 'two']);
});

test('a stream that is replaced keeps its address and its place; a mistake in the new one leaves the old one alone', async () => {
  const port = await freePort();
  const run = await startEngine(server('one', port, '/one', select('old')));
  await run.add(server('two', 0, '/two'));
  const client = await connectClient(await run.url('one'));
  await send(client, '{"a":1}');
  await run.output('one').count(1);
  const wrong = await run.replace(server('one', port, '/one', select("' || nothing(1) || '")));
  expect(wrong).toHaveLength(1);
  await send(client, '{"a":2}');
  await run.output('one').count(2);
  expect(await run.replace(server('one', port, '/one', select('new')))).toEqual([]);
  expect((await client.closed).code).toBe(1001);
  await until(
    'the new one to listen',
    () => run.log.filter(({ msg }) => msg.startsWith('listening on')).length === 3,
  );
  await send(await connectClient(`ws://127.0.0.1:${port}/one`), '{"a":3}');
  await run.output('one').count(3);
  expect(run.output('one').values).toEqual([
    { a: 1, by: 'old' },
    { a: 2, by: 'old' },
    { a: 3, by: 'new' },
  ]);
  expect(await states(run)).toEqual(['one running', 'two running']);
  // Counters go on where the stream goes on.
  expect(await run.metric('millrace_output_messages_total', 'stream="one"')).toBe(3);
});

test('a message that the old stream could not deliver is delivered by the new one, from its log', async () => {
  const port = await freePort();
  const log = `durability: { enabled: true, path: "${dir.path}/handed-over" }`;
  const run = await startEngine(server('one', port, '/one', log));
  const client = await connectClient(await run.url('one'));
  run.output('one').hold();
  await send(client, '{"a":1}');
  await until('the write', () => run.output('one').writes === 1);
  const stop = new AbortController();
  const replaced = run.replace(server('one', port, '/one', `${log}\n    ${select('new')}`), stop.signal);
  stop.abort();
  await run.logged(/^stream failed/);
  run.output('one').release();
  expect(await replaced).toEqual([]);
  await run.output('one').count(1);
  expect(run.output('one').values).toEqual([{ a: 1, by: 'new' }]);
});

test('`run` ends with the last stream, or with `stop` if it is kept running', async () => {
  const ending = await startEngine(server('one', 0, '/one'));
  await ending.url('one');
  expect(await ending.remove('one')).toBeUndefined();
  expect(await ending.ended).toEqual({ failed: [], left: [] });
  await expect(ending.add(server('two', 0, '/two'))).rejects.toThrow('the engine has ended');

  const kept = await startEngine(server('one', 0, '/one'), {}, { keepRunning: true });
  await kept.url('one');
  await kept.remove('one');
  expect(await kept.add(server('two', 0, '/two'))).toEqual([]);
  const client = await connectClient(await kept.url('two'));
  await send(client, '{"a":1}');
  await kept.output('two').count(1);
  expect(await kept.stop()).toEqual({ failed: [], left: [] });
  await expect(kept.add(server('three', 0, '/three'))).rejects.toThrow('the engine has ended');
});

test('a stop while a stream is replaced ends the old one, and does not start the new one', async () => {
  const port = await freePort();
  const run = await startEngine(server('one', port, '/one'));
  const client = await connectClient(await run.url('one'));
  run.output('one').hold();
  await send(client, '{"a":1}');
  await until('the write', () => run.output('one').writes === 1);
  const replaced = run.replace(server('one', port, '/one', select('new')));
  run.drain();
  run.output('one').release();
  await replaced;
  expect(await run.ended).toEqual({ failed: [], left: [] });
  expect(run.output('one').texts).toEqual(['{"a":1}']);
});
