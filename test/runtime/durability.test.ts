import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startCli } from '../support/cli.ts';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();
let logs = 0;
const logPath = (): string => join(dir.path, `log-${logs++}`);

const durable = (path: string, more = '', options = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: "/in/:room" ${options} }
    output: { type: collect }
    durability: { path: "${path}" }
    ${more}
`;

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index));

async function client(run: Run, room = 'a'): Promise<Awaited<ReturnType<typeof connectClient>>> {
  return await connectClient((await run.url()).replace(':room', room));
}

/** Resolves when the log has so many undelivered batches. */
async function logged(run: Run, messages: number): Promise<void> {
  await until(`${messages} messages to be received`, async () => {
    await run.http('/health');
    return (await run.metric('millrace_input_messages_total')) >= messages;
  });
  await until('the log to have them', async () => {
    await run.http('/health');
    return (await run.metric('millrace_log_entries')) > 0;
  });
}

/** Ends it as a crash does: batches with the output are not delivered. */
async function crash(run: Run): Promise<void> {
  await run.abort({ release: false });
}

test('after a restart, undelivered messages come first, in order, with their metadata; then new ones', async () => {
  const path = logPath();
  const first = await startEngine(durable(path));
  first.output().hold();
  const sender = await client(first, 'kitchen');
  await send(sender, ...numbers(1, 500));
  await logged(first, 500);
  await crash(first);

  const second = await startEngine(durable(path));
  const late = await client(second, 'hall');
  await send(late, 'new');
  expect(await second.output().count(501)).toEqual([...numbers(1, 500), 'new']);
  const [message, , third] = second.output().messages;
  expect(message!.ext).toMatchObject({ 'param.room': 'kitchen', sequence: '1', message_type: 'text' });
  expect(third!.ext['sequence']).toBe('3');
  expect(message!.source).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/in\/:room$/);
  expect(message!.time).toBeLessThan(second.output().messages.at(-1)!.time);
  expect(second.output().messages.at(-1)!.ext['param.room']).toBe('hall');
  await second.idle();
  await second.stop();

  // Nothing comes a second time.
  const third_ = await startEngine(durable(path));
  await send(await client(third_), 'only this');
  expect(await third_.output().count(1)).toEqual(['only this']);
});

test('kill -9 at any moment: every message that came out of the socket buffer and into the log comes out', async () => {
  const sink = await wsServer();
  const path = logPath();
  const config = dir.file(
    'kill.yaml',
    `health_check: { enabled: false }
logging: { format: json }
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    pipeline: { processors: [{ type: sql, query: "SELECT * FROM flow" }] }
    output: { type: websocket, url: "${sink.url}", reconnect: { initial: 1ms, max: 20ms } }
    durability: { path: "${path}" }
`,
  );
  const LAST = 20_000;
  let sent = 0;
  for (let round = 0; round < 5; round++) {
    const { child, result } = startCli(['run', config]);
    let log = '';
    child.stderr.on('data', (data: Buffer) => (log += data.toString()));
    const url = await until('the URL', () => /"url":"([^"]+)"/.exec(log)?.[1], { state: () => log });
    const sender = await connectClient(url);
    const received = (): number =>
      sink.connections.reduce((count, { messages }) => count + messages.length, 0);
    const before = received();
    // A delivered message was in the log, so all before it on the same connection were.
    while (sent < LAST && received() < before + 300 * (round + 1)) {
      await send(sender, JSON.stringify({ n: ++sent }));
    }
    child.kill('SIGKILL');
    await result;
    // Messages lost with the socket are sent again, as a sender with acknowledgements would.
    const seen = sink.texts.map((text) => (JSON.parse(text) as { n: number }).n);
    sent = Math.max(0, ...seen);
  }
  const run = startCli(['run', config]);
  await run.seen(/input websocket connected/);
  await until('everything', () => new Set(sink.texts).size >= sent);
  run.child.kill('SIGTERM');
  expect((await run.result).code).toBe(0);
  const seen = sink.texts.map((text) => (JSON.parse(text) as { n: number }).n);
  const last = Math.max(...seen);
  expect(last).toBeGreaterThanOrEqual(sent);
  expect([...new Set(seen)].toSorted((a, b) => a - b)).toEqual(numbers(1, last).map(Number));
});

test('a stalled output does not hold up senders: incoming messages wait in the log, and memory stays bounded', async () => {
  const run = await startEngine(durable(logPath(), 'in_flight: { messages: 1000 }'));
  run.output().hold();
  const sender = await client(run);
  const padded = numbers(1, 20_000).map((number) => number.padEnd(200));
  await send(sender, ...padded);
  await until('all to be received', async () => {
    const received = await run.metric('millrace_input_messages_total');
    expect((await run.inFlight()).messages).toBeLessThanOrEqual(2 * 1000);
    return received === 20_000;
  });
  await run.logged(/incoming messages wait in the log/);
  run.output().release();
  expect(await run.output().count(20_000)).toEqual(padded);
  await run.idle();
  await until('the log to be empty', async () => {
    await run.http('/health');
    return (await run.metric('millrace_log_entries')) === 0;
  });
  // It goes on from memory again.
  await send(sender, 'more');
  expect((await run.output().count(20_001)).at(-1)).toBe('more');
});

test('a full log holds the senders back, and says so; then it goes on', async () => {
  const path = logPath();
  const run = await startEngine(
    durable(path, 'in_flight: { messages: 100 }').replace(
      `path: "${path}"`,
      `path: "${path}", max_bytes: 1MiB`,
    ),
  );
  run.output().hold();
  const sender = await client(run);
  const payload = 'x'.repeat(1000);
  const count = 20_000;
  const all = send(sender, ...numbers(1, count).map((number) => `${number} ${payload}`));
  all.catch(() => {});
  await run.logged(/the log is full/);
  const { status, text } = await run.http('/readiness');
  expect(status).toBe(503);
  expect(text).toContain('the log is full');
  expect(await run.metric('millrace_log_blocked')).toBe(1);
  const size = readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
  expect(size).toBeLessThan(1.2 * 1024 ** 2);
  expect(sender.socket.bufferedAmount).toBeGreaterThan(0);
  run.output().release();
  await all;
  const texts = await run.output().count(count);
  expect(texts.map((line) => line.split(' ')[0])).toEqual(numbers(1, count));
  await until('to be ready', async () => (await run.http('/readiness')).status === 200);
});

test('messages that the codec rejects are in the log as well, until error_output has them', async () => {
  const path = logPath();
  const yaml = durable(path, 'error_output: { type: collect, name: errors }', ', codec: { type: json }');
  const first = await startEngine(yaml);
  first.output().hold();
  first.output('errors').hold();
  const sender = await client(first);
  await send(sender, '{"n":1}', 'not JSON', '{"n":2}');
  await until('it to be rejected', () => first.output('errors').writes > 0);
  await crash(first);
  const second = await startEngine(yaml);
  await second.output('errors').count(1);
  expect(await second.output().count(2)).toEqual(['{"n":1}', '{"n":2}']);
  expect(second.output('errors').values).toMatchObject([
    {
      payload: 'not JSON',
      metadata: { __meta_ext: { sequence: '2', 'param.room': 'a' } },
      error: { code: 'MILLRACE_CODEC_INVALID_JSON', stage: 'codec' },
    },
  ]);
});

test('a crash in the middle of a window loses nothing', async () => {
  const path = logPath();
  const yaml = (interval: string): string =>
    durable(path, `buffer: { type: tumbling_window, interval: ${interval} }`);
  const first = await startEngine(yaml('1h'));
  await send(await client(first), ...numbers(1, 300));
  await logged(first, 300);
  await crash(first);
  expect(first.output().texts).toEqual([]);
  const second = await startEngine(yaml('100ms'));
  expect(await second.output().count(300)).toEqual(numbers(1, 300));
});

test('a shutdown while the output is behind leaves the rest for the next start', async () => {
  const path = logPath();
  const yaml = durable(path, 'in_flight: { messages: 1000 }');
  const first = await startEngine(yaml);
  first.output().hold();
  const padded = numbers(1, 5000).map((number) => number.padEnd(500));
  const sender = await client(first);
  await send(sender, ...padded);
  await first.metricIs(5000, 'millrace_input_messages_total');
  await first.logged(/incoming messages wait in the log/);
  first.drain();
  await sender.closed;
  first.output().release();
  expect((await first.ended).failed).toEqual([]);
  const delivered = first.output().texts;
  expect(delivered.length).toBeLessThan(5000);
  const second = await startEngine(yaml);
  const rest = await second.output().count(5000 - delivered.length);
  expect([...delivered, ...rest]).toEqual(padded);
});

test('an input that ends is delivered whole, whatever waits in the log', async () => {
  const file = dir.file('lines.txt', `${numbers(1, 5000).join('\n')}\n`);
  const run = await startEngine(`
streams:
  - input: { type: file, path: "${file}" }
    output: { type: collect }
    in_flight: { messages: 100 }
    durability: { path: "${logPath()}" }
`);
  await run.ended;
  expect(run.output().texts).toEqual(numbers(1, 5000));
});

test('two inputs, each with its codec, share the log', async () => {
  const path = logPath();
  const yaml = `
streams:
  - input:
      type: multiple_inputs
      inputs:
        - { type: websocket, name: one, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
        - { type: generate, name: two, context: '{"g":1}', count: 3, interval: 1ms }
    output: { type: collect }
    error_output: { type: collect, name: errors }
    durability: { path: "${path}" }
`;
  const first = await startEngine(yaml);
  first.output().hold();
  first.output('errors').hold();
  await send(await connectClient(await first.url()), '{"n":1}', 'bad');
  await logged(first, 5);
  await crash(first);
  const second = await startEngine(yaml);
  await second.output('errors').count(1);
  await second.output().count(4);
  const sources = second.output().messages.map(({ source }) => source);
  expect(sources.filter((source) => source === 'one')).toHaveLength(1);
  expect(sources.filter((source) => source === 'two').length).toBeGreaterThanOrEqual(3);
});

test('a second process on one log refuses, and says why', async () => {
  const path = logPath();
  const first = await startEngine(durable(path));
  await client(first);
  const second = await startEngine(durable(path));
  expect((await second.ended).failed).toEqual(['stream-0']);
  expect((await second.logged(/^stream failed/)).code).toBe('MILLRACE_WAL_LOCKED');
  await send(await client(first), 'still works');
  await first.output().count(1);
});

test('without `enabled` there is no log', async () => {
  const path = logPath();
  const yaml = durable(path).replace(`path: "${path}"`, `enabled: false, path: "${path}"`);
  const run = await startEngine(yaml);
  await send(await client(run), 'x');
  await run.output().count(1);
  expect(existsSync(path)).toBe(false);
});

for (const sync of ['per_entry', 'group_commit', 'periodic, interval: 50ms']) {
  test(`sync: ${sync}`, async () => {
    const path = logPath();
    const yaml = durable(path).replace(`path: "${path}"`, `path: "${path}", sync: ${sync}`);
    const first = await startEngine(yaml);
    first.output().hold();
    await send(await client(first), ...numbers(1, 100));
    await logged(first, 100);
    await crash(first);
    const second = await startEngine(yaml);
    expect(await second.output().count(100)).toEqual(numbers(1, 100));
  });
}

test('mistakes of the file', () => {
  expect(configMistakes(durable('/tmp/x').replace('path: "/tmp/x"', 'path: "/tmp/x", interval: 1s'))).toEqual(
    ['streams[0].durability.interval: needs `sync: periodic`'],
  );
  for (const [field, message] of [
    ['sync: periodic, interval: 2m', 'interval: "2m" is out of range'],
    ['sync: never', 'sync: "never" is not known'],
    ['max_bytes: 1KiB', 'max_bytes: "1KiB" is out of range'],
    ['on_full: drop', 'on_full: "drop" is not known; expected "block"'],
  ]) {
    const yaml = durable('/tmp/x').replace('path: "/tmp/x"', `path: "/tmp/x", ${field}`);
    expect(configMistakes(yaml)).toEqual([expect.stringContaining(`streams[0].durability.${message}`)]);
  }
  const twice = `
streams:
  - input: { type: memory, messages: [a] }
    durability: { path: ./wal }
  - input: { type: memory, messages: [a] }
    durability: { path: wal/ }
`;
  expect(configMistakes(twice)).toEqual([
    'streams[1].durability.path: is also the log of stream 0 of the list; expected each stream to have its own',
  ]);
  expect(configMistakes(durable('x').replace('path: "x"', 'enabled: true'))[0]).toContain('durability.path');
});
