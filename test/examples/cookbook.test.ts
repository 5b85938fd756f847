import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startCli } from '../support/cli.ts';
import { startEngine } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { cookbook as folder, readRecipe } from '../support/recipe.ts';
import { tempDir } from '../support/temp-dir.ts';
import { TokenEndpoint } from '../support/token-endpoint.ts';
import { until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

// The recipes of docs/cookbook.md; the dashboard has a file of its own.

const dir = tempDir();
const recipe = (name: string, edits?: Readonly<Record<string, string>>) => readRecipe(name, dir.path, edits);

type Json = Record<string, unknown>;

function lines(file: string): string[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

const rows = (file: string): Json[] => lines(file).map((line) => JSON.parse(line) as Json);

test('candles: the trades of each second become one bar for each symbol', async () => {
  const feed = await wsServer((socket, message) => {
    expect(JSON.parse(message.toString())).toEqual({ op: 'subscribe', channel: 'trades' });
    for (const [id, symbol, price, size] of [
      [1, 'BTC', 101, 2],
      [2, 'ETH', 10, 1],
      [3, 'BTC', 105, 1],
      [4, 'BTC', 99, 4],
      [5, 'BTC', 'high', 1],
      [6, 'BTC', 100, 1],
    ])
      socket.send(JSON.stringify({ id, symbol, price, size }));
  });
  const [text, data] = recipe('candles.yaml');
  await startEngine(text, { FEED_URL: feed.url });
  const candles = (): Json[] => rows(join(data, 'candles.jsonl'));
  const trades = (): number => candles().reduce((sum, { trades: count }) => sum + Number(count), 0);
  await until('all trades', () => trades() === 5);
  const of = (symbol: string): Json[] => candles().filter((row) => row['symbol'] === symbol);
  const now = Date.now();
  for (const { second } of candles()) {
    const start = Date.parse(String(second));
    expect(start % 1000).toBe(0);
    expect(Math.abs(now - start)).toBeLessThan(60_000);
  }
  // They came together, but the end of a second may have come between.
  const btc = of('BTC');
  expect([btc[0]!['open'], btc.at(-1)!['close']]).toEqual([101, 100]);
  expect(Math.max(...btc.map(({ high }) => Number(high)))).toBe(105);
  expect(Math.min(...btc.map(({ low }) => Number(low)))).toBe(99);
  expect(btc.reduce((sum, { volume }) => sum + Number(volume), 0)).toBe(8);
  expect(of('ETH')).toMatchObject([{ open: 10, high: 10, low: 10, close: 10, volume: 1, trades: 1 }]);
  expect(rows(join(data, 'candles-rejected.jsonl')).map(({ payload }) => payload)).toEqual([
    '{"id":5,"symbol":"BTC","price":"high","size":1}',
  ]);
});

test('two outputs: everything is archived, errors are printed as well', async () => {
  const feed = await wsServer();
  const [text, data] = recipe('two-outputs.yaml', { 'type: stdout': 'type: collect' });
  const run = await startEngine(text, { FEED_URL: feed.url });
  await run.connected('events');
  const events = ['{"service":"api","level":"info"}', '{"service":"db", "level":"error"}'];
  for (const { socket } of feed.connections) for (const event of events) socket.send(event);
  expect(await run.output().count(1)).toEqual([events[1]]);
  const archived = (): string[] => globSync(join(data, 'archive/????-??-??.jsonl')).flatMap(lines);
  await until('the archive', () => archived().length === 2);
  expect(archived()).toEqual(events);
  expect(run.output().texts.length).toBe(1);
});

test('compressed feed: each element of a compressed array is a message; a bad frame is kept', async () => {
  const feed = await wsServer();
  const [text, data] = recipe('compressed-feed.yaml');
  const run = await startEngine(text, { FEED_URL: feed.url });
  await run.connected('trades');
  const { socket } = await feed.connection();
  socket.send(gzipSync('[{"id":1, "price":101.5},{"type":"heartbeat"},{"id":2,"price":101.4}]'));
  socket.send(gzipSync('{"not":"an array"}'));
  socket.send(gzipSync('[{"id":3,"price":101.6}]'));
  const trades = (): string[] => lines(join(data, 'trades.jsonl'));
  const rejected = (): Json[] => rows(join(data, 'trades-rejected.jsonl'));
  await until('three trades and a dead letter', () => trades().length === 3 && rejected().length === 1);
  expect(trades()).toEqual(['{"id":1, "price":101.5}', '{"id":2,"price":101.4}', '{"id":3,"price":101.6}']);
});

test('fresh tokens: after 4401 and after a refusal, the next attempt has a new token', async () => {
  const tokens = await new TokenEndpoint().up();
  const feed = await wsServer((socket, message) => {
    const { op, token } = JSON.parse(message.toString()) as Record<string, string>;
    if (op !== 'auth') return socket.send(JSON.stringify({ order: 1 }));
    // The second token is refused, so that the third is asked for.
    socket.send(JSON.stringify({ op: 'auth', status: token === 'token-2' ? 'error' : 'ok' }));
  });
  const [text, data] = recipe('fresh-tokens.yaml');
  await startEngine(text, { FEED_URL: feed.url, TOKEN_URL: tokens.url, CLIENT_SECRET: 's3cret' });
  const orders = (): string[] => lines(join(data, 'feed.jsonl'));
  await until('the first order', () => orders().length === 1);
  (await feed.connection()).socket.close(4401, 'token expired');
  await until('the order on the third connection', () => orders().length === 2);
  const sent = feed.texts.map((each) => JSON.parse(each) as Json).filter(({ op }) => op === 'auth');
  expect(sent.map(({ token }) => token)).toEqual(['token-1', 'token-2', 'token-3']);
  expect(feed.connections.map(({ request }) => request.headers.authorization)).toEqual([
    'Bearer token-1',
    'Bearer token-2',
    'Bearer token-3',
  ]);
});

test('resume: after a lost connection and after a restart, every event is in the file once', async () => {
  let last = 3;
  const feed = await wsServer((socket, message) => {
    const { after } = JSON.parse(message.toString()) as { after: string };
    for (let seq = Number(after) + 1; seq <= last; seq++) socket.send(JSON.stringify({ seq }));
  });
  const [text, data] = recipe('resume.yaml');
  const events = (): unknown[] => rows(join(data, 'events.jsonl')).map(({ seq }) => seq);
  const cursor = (): string => lines(join(data, 'events.cursor')).join('');
  const start = () => {
    const { child, result } = startCli(['run', dir.file('resume.yaml', text)], {
      env: { FEED_URL: feed.url },
    });
    afterTest(() => child.kill('SIGKILL'));
    return { child, result };
  };
  const first = start();
  await until('three events', () => events().length === 3);
  last = 5;
  (await feed.connection()).socket.terminate();
  await until('five events', () => events().length === 5);
  first.child.kill('SIGTERM');
  expect(await first.result).toMatchObject({ code: 0 });
  expect(cursor()).toContain('"5"');
  last = 7;
  start();
  await until('seven events', () => events().length === 7);
  expect(events()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(feed.texts.at(-1)).toBe('{"op":"subscribe","after":"5"}');
});

test('dead letters: a wrong reading is kept, and is written once the stream is mended', async () => {
  const [text, data] = recipe('dead-letters.yaml');
  const run = await startEngine(text);
  const client = await connectClient(await run.url('readings'));
  await send(
    client,
    '{"sensor":"roof","temperature":"21,5"}',
    '{"sensor":"cellar","temperature":12}',
    '{"sensor":"kitchen","temperature":"hot"}',
  );
  const written = (): string[] => lines(join(data, 'readings.jsonl'));
  const rejected = (): Json[] => rows(join(data, 'rejected.jsonl'));
  await until('the good and the bad', () => written().length === 1 && rejected().length === 2);
  await run.stop();
  expect(rejected().map(({ error }) => (error as Json)['field'])).toEqual(['temperature', 'temperature']);
  // As the page says.
  const mended = text
    .replace('temperature: DOUBLE', 'temperature: VARCHAR')
    .replace(
      'SELECT sensor, temperature FROM',
      "SELECT sensor, replace(temperature, ',', '.')::DOUBLE AS temperature FROM",
    )
    .replaceAll('rejected.jsonl', 'rejected-again.jsonl');
  const page = readFileSync(new URL('../../docs/cookbook.md', import.meta.url), 'utf8');
  expect(page).toContain("replace(temperature, ',', '.')::DOUBLE AS temperature");
  const { code, stderr } = await startCli([
    'replay',
    join(data, 'rejected.jsonl'),
    '--to',
    dir.file('mended.yaml', mended),
  ]).result;
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('replayed 2 of 2') });
  expect(written().map((line) => JSON.parse(line) as unknown)).toEqual([
    { sensor: 'cellar', temperature: 12 },
    { sensor: 'roof', temperature: 21.5 },
  ]);
  expect(rows(join(data, 'rejected-again.jsonl')).map(({ payload }) => payload)).toEqual([
    '{"sensor":"kitchen","temperature":"hot"}',
  ]);
});

test('service: the commands of the unit and of the container start it, tell its health and let it drain', async () => {
  const unit = readFileSync(join(folder, 'service/millrace.service'), 'utf8');
  const image = readFileSync(join(folder, 'service/Dockerfile'), 'utf8');
  const command = JSON.parse(/^CMD (\[.*\])$/m.exec(image)![1]!) as string[];
  expect(/^ExecStart=\/usr\/bin\/env (.*)$/m.exec(unit)![1]).toBe(command.join(' '));
  const [program, bin, ...args] = command;
  expect([program, bin]).toEqual(['node', 'node_modules/millrace/bin/millrace.js']);

  const [health, port] = [await freePort(), await freePort()];
  const [text, data] = recipe('service/streams.yaml', { 'port: 8080': `port: ${port}` });
  writeFileSync(join(data, 'streams.yaml'), text);
  const service = startCli(args, { cwd: data, env: { HEALTH_ADDRESS: `127.0.0.1:${health}` } });
  afterTest(() => service.child.kill('SIGKILL'));
  await service.seen(/listening on ws:/);
  const [probe, ...probeArgs] = JSON.parse(/^HEALTHCHECK .* CMD (\[.*\])$/m.exec(image)![1]!) as string[];
  expect(probe).toBe('node');
  const alive = (): number | null =>
    spawnSync(
      process.execPath,
      probeArgs.map((each) => each.replace(':4747/', `:${health}/`)),
    ).status;
  expect(alive()).toBe(0);
  expect((await fetch(`http://127.0.0.1:${health}/readiness`)).status).toBe(200);

  const client = await connectClient(`ws://127.0.0.1:${port}/orders`);
  const replies: string[] = [];
  client.socket.on('message', (reply: Buffer) => replies.push(reply.toString()));
  await send(client, '{"id":"a-1"}', '{"id":"a-2"}', '{"id":"a-1"}');
  await until('three acknowledgements', () => replies.length === 3);
  service.child.kill('SIGTERM');
  expect(await service.result).toMatchObject({ code: 0 });
  expect((await client.closed).code).toBe(1001);
  expect(lines(join(data, 'orders.jsonl'))).toEqual(['{"id":"a-1"}', '{"id":"a-2"}']);
  expect(alive()).toBe(1);
});

test('tables of state: repeated readings are dropped, changes of a status come out, totals add up', async () => {
  const [text, data] = recipe('device-state.yaml');
  const run = await startEngine(text);
  const client = await connectClient(await run.url('devices'));
  const reading = (id: number, device: string, status: string, kwh: number): string =>
    JSON.stringify({ id, device, status, kwh });
  const changes = (): Json[] => rows(join(data, 'changes.jsonl'));
  await send(client, reading(1, 'pump', 'on', 0.25), reading(1, 'pump', 'on', 0.25));
  await until('the first change', () => changes().length === 1);
  await send(client, reading(2, 'pump', 'on', 0.5), reading(1, 'pump', 'off', 9), reading(3, 'fan', 'on', 1));
  await until('the second', () => changes().length === 2);
  await send(client, reading(4, 'pump', 'off', 0.125));
  await until('the third', () => changes().length === 3);
  expect(changes()).toEqual([
    { id: 1, device: 'pump', before: null, status: 'on', total: 0.25 },
    { id: 3, device: 'fan', before: null, status: 'on', total: 1 },
    { id: 4, device: 'pump', before: 'on', status: 'off', total: 0.875 },
  ]);
});
