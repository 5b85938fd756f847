import { once } from 'node:events';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { startCli } from '../support/cli.ts';
import { connectClient, freePort, rawUpgrade, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

// Examples listen on fixed ports, so the tests of this file run one after the other, as vitest does within a file.

const root = new URL('../..', import.meta.url).pathname;
const example = (name: string): string => join(root, 'examples', name);
const dir = tempDir();

type Json = Record<string, unknown>;
const parse = (text: string): Json[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Json);

/** Runs an example in a folder of the test's own, ends it, and returns its output. */
function run(name: string, options: { env?: Record<string, string>; nodeOptions?: string[] } = {}) {
  const process = startCli(['run', example(name)], { cwd: dir.path, ...options });
  let stdout = '';
  process.child.stdout.on('data', (text: string) => {
    stdout += text;
  });
  afterTest(() => process.child.kill('SIGKILL'));
  return {
    ...process,
    stdout: () => stdout,
    async stop() {
      process.child.kill('SIGTERM');
      const result = await process.result;
      expect(result).toMatchObject({ code: 0 });
      return result;
    },
  };
}

/** A WebSocket server on a free port, or the one given. */
async function serve(port = 0) {
  const server = new WebSocketServer({ host: '127.0.0.1', port });
  afterTest(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  await once(server, 'listening');
  const sockets: WebSocket[] = [];
  const received: string[] = [];
  const headers: (string | undefined)[] = [];
  server.on('connection', (socket, request) => {
    sockets.push(socket);
    headers.push(request.headers.authorization);
    socket.on('message', (data: Buffer) => received.push(data.toString()));
  });
  return {
    server,
    sockets,
    received,
    headers,
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/feed`,
  };
}

test('devices', async () => {
  const example = run('devices.yaml');
  await example.seen(/listening on/);
  for (const device of ['roof', '..%2Fcellar']) {
    const client = await connectClient(`ws://127.0.0.1:8084/devices/${device}`);
    await send(client, `{\n  "device": "${device}"\n}`, 'oops');
  }
  const files = (): string[] =>
    globSync('data/devices/*/????-??-??.jsonl', { cwd: dir.path }).map((file) => file.split('/')[2]!);
  const rejected = join(dir.path, 'data/devices-rejected.jsonl');
  await until(
    'both devices and both rejected messages',
    () =>
      files().length === 2 && existsSync(rejected) && readFileSync(rejected, 'utf8').split('\n').length === 3,
  );
  expect(files().toSorted()).toEqual(['%2E.%2Fcellar', 'roof']);
  const [roof] = globSync('data/devices/roof/*', { cwd: dir.path });
  expect(readFileSync(join(dir.path, roof!), 'utf8')).toBe('{"device":"roof"}\n');
  await example.stop();
});

test('every example is run by a test, and says how to run it', () => {
  const here = globSync(['*.test.ts', '../connectors/*.test.ts'], { cwd: import.meta.dirname })
    .map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
    .join('');
  const files = globSync('**/*.yaml', { cwd: join(root, 'examples') });
  expect(files.length).toBeGreaterThan(8);
  for (const file of files) {
    expect(here, `a test of ${file}`).toMatch(
      new RegExp(`\\brun\\('${file}'|recipe\\('${file.replace('cookbook/', '')}'|examples/${file}'`),
    );
    if (!file.startsWith('spec/'))
      expect(readFileSync(example(file), 'utf8')).toMatch(/^# Shows[^]*\n# (Run it|Feed it):/);
  }
});

test('quickstart: averages per sensor, computed by SQL over windows of WebSocket messages', async () => {
  const process = run('quickstart.yaml');
  await process.seen(/listening on ws:\/\/127\.0\.0\.1:8080\/readings/);
  await until('two windows', () => new Set(parse(process.stdout()).map((row) => row['sensor'])).size === 3);
  const readiness = await fetch('http://127.0.0.1:4747/readiness');
  expect(readiness.status).toBe(200);
  const own = await connectClient('ws://127.0.0.1:8080/readings');
  await send(own, '{"sensor":"mine","temperature":40}', '{"sensor":"mine","temperature":41}');
  await until('the reading sent by hand', () => process.stdout().includes('"mine"'));
  await process.stop();
  const rows = parse(process.stdout());
  expect(rows.find((row) => row['sensor'] === 'mine')).toEqual({
    sensor: 'mine',
    average: 40.5,
    lowest: 40,
    highest: 41,
    readings: 2,
  });
  for (const row of rows.filter((each) => each['sensor'] !== 'mine')) {
    expect(['kitchen', 'cellar', 'roof']).toContain(row['sensor']);
    expect(row['average']).toBeGreaterThanOrEqual(Number(row['lowest']));
    expect(row['average']).toBeLessThanOrEqual(Number(row['highest']));
    expect(row['lowest']).toBeGreaterThanOrEqual(15);
    expect(row['highest']).toBeLessThanOrEqual(25);
  }
});

test.each([
  {
    file: 'spec/websocket-server.yaml',
    start: () => run('spec/websocket-server.yaml'),
    port: 8080,
    path: '/ws',
  },
  {
    file: 'spec/websocket-server-custom-path.yaml',
    start: () => run('spec/websocket-server-custom-path.yaml'),
    port: 9000,
    path: '/stream',
  },
])('$file: messages of clients come out on stdout', async ({ start, port, path }) => {
  const process = start();
  await process.seen(new RegExp(`listening on ws://\\S+:${port}${path}`));
  const clients = await Promise.all([1, 2, 3].map(() => connectClient(`ws://127.0.0.1:${port}${path}`)));
  for (const [index, client] of clients.entries()) await send(client, `hello from ${index}`);
  await until('three lines', () => process.stdout().split('\n').length === 4);
  expect(process.stdout().trim().split('\n').toSorted()).toEqual([
    'hello from 0',
    'hello from 1',
    'hello from 2',
  ]);
  await process.stop();
  expect(await Promise.all(clients.map(async ({ closed }) => (await closed).code))).toEqual([
    1001, 1001, 1001,
  ]);
});

test('spec/websocket-client.yaml: messages of the server come out on stdout', async () => {
  const server = await serve(8080);
  const process = run('spec/websocket-client.yaml');
  await until('the connection', () => server.sockets[0]);
  server.sockets[0]!.send('{"sensor_id":"temp_001","temperature":23.5,"timestamp":1625000000000}');
  await until('the line', () => process.stdout().endsWith('\n'));
  expect(process.stdout()).toBe('{"sensor_id":"temp_001","temperature":23.5,"timestamp":1625000000000}\n');
  await process.stop();
});

test('spec/secure-websocket.yaml: TLS, and the header with the token from the environment', async () => {
  const fixtures = join(root, 'test/control/fixtures');
  const https = createServer({
    cert: readFileSync(join(fixtures, 'server.pem')),
    key: readFileSync(join(fixtures, 'server-key.pem')),
  });
  https.listen(0, '127.0.0.1');
  afterTest(() => https.close());
  await once(https, 'listening');
  const seen: Json[] = [];
  new WebSocketServer({ server: https }).on('connection', (socket, request) => {
    const { servername } = request.socket as TLSSocket & { servername?: string };
    seen.push({
      authorization: request.headers.authorization,
      url: request.url,
      host: request.headers.host,
      servername,
    });
    socket.send('safe and sound');
    afterTest(() => socket.terminate());
  });
  const process = run('spec/secure-websocket.yaml', {
    env: {
      TOKEN: 's3cret',
      TEST_PORT: String((https.address() as AddressInfo).port),
      TEST_CA: join(fixtures, 'ca.pem'),
    },
    nodeOptions: ['--import', new URL('dial-local.js', import.meta.url).href],
  });
  await until('the message', () => process.stdout() === 'safe and sound\n');
  expect(seen).toEqual([
    {
      authorization: 'Bearer s3cret',
      url: '/ws',
      host: 'secure.example.com',
      servername: 'secure.example.com',
    },
  ]);
  const { stderr } = await process.stop();
  expect(stderr).not.toContain('s3cret');
});

test('spec/secure-websocket.yaml: without TOKEN it does not start, and says where', async () => {
  const { result } = startCli(['run', example('spec/secure-websocket.yaml')], {});
  const { code, stderr } = await result;
  expect(code).toBe(1);
  expect(stderr).toMatch(/secure-websocket\.yaml:6:22: .*Authorization.*TOKEN/);
});

test('real-time-analytics: counts per page over a window; a message that is not a view is kept', async () => {
  const process = run('real-time-analytics.yaml');
  await process.seen(/listening on ws:\/\/127\.0\.0\.1:8080\/views/);
  const client = await connectClient('ws://127.0.0.1:8080/views');
  await send(
    client,
    '{"page":"/a","visitor":"v1","ms":100}',
    '{"page":"/a","visitor":"v2","ms":"fast"}',
    '{"page":"/a","visitor":"v1","ms":300}',
    '{"page":"/b","visitor":"v3","ms":50}',
  );
  client.socket.close();
  await client.closed;
  await process.stop();
  const rows = parse(readFileSync(join(dir.path, 'data/page-views.jsonl'), 'utf8'));
  const total = (page: string): number =>
    rows.filter((row) => row['page'] === page).reduce((sum, row) => sum + Number(row['views']), 0);
  expect([total('/a'), total('/b')]).toEqual([2, 1]);
  expect(Object.keys(rows[0]!)).toEqual(['page', 'views', 'visitors', 'p95_ms', 'until']);
  const letters = parse(readFileSync(join(dir.path, 'data/page-views-rejected.jsonl'), 'utf8'));
  expect(letters.map((letter) => [letter['payload'], (letter['error'] as Json)['field']])).toEqual([
    ['{"page":"/a","visitor":"v2","ms":"fast"}', 'ms'],
  ]);
});

test('iot-data: readings with their device and time; anything else is a dead letter', async () => {
  const process = run('iot-data.yaml');
  await process.seen(/listening on ws:\/\/127\.0\.0\.1:8080\/devices/);
  const client = await connectClient('ws://127.0.0.1:8080/devices?device=d1');
  const before = Date.now();
  await send(
    client,
    '{"sensor_id":"temp_001","temperature":23.5,"timestamp":1625000000000}',
    'not JSON',
    '{"sensor_id":"temp_002","temperature":999,"timestamp":1625000000000}',
    '{"sensor_id":"temp_003","temperature":-1,"timestamp":1625000000001}',
  );
  client.socket.close();
  await client.closed;
  await process.stop();
  const rows = parse(readFileSync(join(dir.path, 'data/readings.jsonl'), 'utf8'));
  const received = rows.map((row) => Date.parse(String(row['received'])));
  for (const time of received) expect(Math.abs(time - before)).toBeLessThan(60_000);
  expect(rows).toEqual([
    {
      sensor_id: 'temp_001',
      temperature: 23.5,
      measured: '2021-06-29T20:53:20',
      received: expect.any(String),
      device: 'd1',
    },
    {
      sensor_id: 'temp_003',
      temperature: -1,
      measured: '2021-06-29T20:53:20.001',
      received: expect.any(String),
      device: 'd1',
    },
  ]);
  const letters = parse(readFileSync(join(dir.path, 'data/readings-rejected.jsonl'), 'utf8'));
  expect(letters.map((letter) => letter['payload'])).toEqual(['not JSON']);
});

test('live-monitoring: two feeds as one, each named; one of them comes up late', async () => {
  const north = await serve();
  const southPort = await freePort();
  const process = run('live-monitoring.yaml', {
    env: { NORTH_URL: north.url, SOUTH_URL: `ws://127.0.0.1:${southPort}/events`, MONITOR_TOKEN: 't0ken' },
  });
  await until('the north feed', () => north.sockets[0]);
  north.sockets[0]!.send('{"service":"api","level":"error","ms":12}');
  north.sockets[0]!.send('{"service":"api","level":"info","ms":13}');
  await until('the error', () => process.stdout().includes('north'));
  const south = await serve(southPort);
  await until('the south feed', () => south.sockets[0]);
  south.sockets[0]!.send('{"service":"db","level":"info","ms":2500}');
  await until('the slow one', () => process.stdout().includes('south'));
  expect(parse(process.stdout())).toEqual([
    { site: 'north', service: 'api', level: 'error', ms: 12 },
    { site: 'south', service: 'db', level: 'info', ms: 2500 },
  ]);
  expect([north.headers, south.headers]).toEqual([['Bearer t0ken'], ['Bearer t0ken']]);
  await process.stop();
});

test('event-streaming: passed on byte for byte, over connections that come and go', async () => {
  const source = await serve();
  const target = await serve();
  const process = run('event-streaming.yaml', { env: { SOURCE_URL: source.url, TARGET_URL: target.url } });
  await until('the source', () => source.sockets[0]);
  source.sockets[0]!.send('{ "spaced" : 12345678901234567890 }');
  await until('the first event', () => target.received.length === 1);
  for (const socket of target.sockets) socket.terminate();
  source.sockets[0]!.terminate();
  await until('the source again', () => source.sockets[1]);
  await until('the target again', () => target.sockets[1]);
  source.sockets[1]!.send('not JSON at all');
  await until('the second event', () => target.received.length === 2);
  expect(target.received).toEqual(['{ "spaced" : 12345678901234567890 }', 'not JSON at all']);
  await process.stop();
});

test('chat: everybody in a room hears it, with names, arrivals and departures (chat.test.ts opens the page)', async () => {
  const process = run('chat.yaml');
  await process.seen(/listening on ws:\/\/127\.0\.0\.1:8080\/chat\/:room/);
  const ada = await rawUpgrade('ws://127.0.0.1:8080/chat/lobby?name=Ada');
  await ada.count(2);
  const alan = await connectClient('ws://127.0.0.1:8080/chat/lobby');
  await send(await connectClient('ws://127.0.0.1:8080/chat/other?name=Eve'), '{"text":"unheard"}');
  await send(alan, '{"text":"hello"}');
  alan.socket.close();
  const [welcome, ...heard] = parse((await ada.count(5)).join('\n'));
  expect(welcome).toEqual({ kind: 'welcome', you: heard[0]!['sender'] });
  expect(heard.map(({ kind, name, text }) => [kind, name, text])).toEqual([
    ['join', 'Ada', null],
    ['join', 'somebody', null],
    ['message', 'somebody', 'hello'],
    ['leave', 'somebody', null],
  ]);
  ada.socket.destroy();
  await process.stop();
});

test('durable: acknowledged messages outlive kill -9, and repeated ones are written once', async () => {
  const orders = Array.from({ length: 5_000 }, (_, n) => `{"id":"a-${n}","amount":${n}}`);
  const file = dir.file('orders.jsonl', `${orders.join('\n')}\n`);
  const feed = 'ws://127.0.0.1:8080/orders';
  let engine = run('durable.yaml');
  await engine.seen(/listening on ws:\/\/127\.0\.0\.1:8080\/orders/);
  const args = [
    'send',
    feed,
    file,
    '--id',
    'id',
    '--ack',
    'ack',
    '--max-unacknowledged',
    '500',
    '--reconnect',
  ];
  const sender = startCli(args);
  afterTest(() => sender.child.kill('SIGKILL'));
  const written = (): Json[] =>
    existsSync(join(dir.path, 'data/orders.jsonl'))
      ? parse(readFileSync(join(dir.path, 'data/orders.jsonl'), 'utf8').replace(/[^\n]*$/, ''))
      : [];
  await until('some orders', () => written().length > 0);
  engine.child.kill('SIGKILL');
  await engine.result;
  engine = run('durable.yaml');
  const { code, stderr } = await sender.result;
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('5000 acknowledged') });
  // The same order again is acknowledged and not written; anything else is in error_output.
  const before = written().filter((row) => row['id'] === 'a-1').length;
  const client = await connectClient(feed);
  const replies: string[] = [];
  client.socket.on('message', (data: Buffer) => replies.push(data.toString()));
  await send(client, '{"id":"a-1","amount":1}', '{"id":"b","amount":"much"}', '{"id":"c","amount":2}', '{');
  await until('three replies', () => replies.length === 3);
  expect(replies.toSorted()).toEqual(['{"ack":"a-1"}', '{"ack":"b"}', '{"ack":"c"}']);
  await engine.stop();
  const ids = written().map((row) => String(row['id']));
  expect(ids.filter((id) => id === 'a-1').length).toBe(before);
  expect(new Set(ids)).toEqual(new Set([...orders.map((_, n) => `a-${n}`), 'c']));
  const letters = parse(readFileSync(join(dir.path, 'data/orders-rejected.jsonl'), 'utf8'));
  expect(letters.map((letter) => letter['payload'])).toEqual(['{', '{"id":"b","amount":"much"}']);
});
