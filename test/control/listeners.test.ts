import { createServer } from 'node:net';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Endpoint, UpgradeHandler } from '../../src/component/listeners.ts';
import { SharedListeners } from '../../src/control/listeners.ts';
import { exchange, rawClient, upgradeRequest } from './raw.ts';

const open: Endpoint[] = [];
const sockets: Duplex[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const endpoint of open.splice(0)) await endpoint.close();
});

const unexpected = (): void => expect.unreachable();
const broken = (): never => {
  throw new Error('broken');
};

/** Answers 101 and its name, and then echoes. */
function echo(name: string): UpgradeHandler {
  return (_, socket, head) => {
    sockets.push(socket);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n${name};`,
    );
    if (head.length > 0) socket.write(head);
    socket.on('data', (chunk: Buffer) => socket.write(chunk));
    socket.on('end', () => socket.end());
  };
}

async function upgrade(
  listeners: SharedListeners,
  path: string,
  options: Partial<Parameters<SharedListeners['upgrade']>[0]> = {},
): Promise<Endpoint> {
  const all = { host: '127.0.0.1', port: 0, path, handler: echo(path), ...options };
  const endpoint = await listeners.upgrade(all);
  open.push(endpoint);
  return endpoint;
}

test('several paths of one port, upgrades and plain, each reach their handler', async () => {
  const listeners = new SharedListeners();
  const { port } = await upgrade(listeners, '/a');
  await upgrade(listeners, '/b', { port });
  open.push(
    await listeners.http({
      host: '127.0.0.1',
      port,
      paths: ['/plain', '/other'],
      handler: (request, response) => response.end(`plain ${request.url}`),
    }),
  );
  for (const path of ['/a', '/b']) {
    const client = await rawClient(port);
    client.socket.write(`${upgradeRequest(path)}early`);
    expect(await client.until(/early/)).toMatch(new RegExp(`^HTTP/1.1 101 .*\r\n\r\n${path};early$`, 's'));
    client.socket.destroy();
  }
  expect(await (await fetch(`http://127.0.0.1:${port}/other?x=1`)).text()).toBe('plain /other?x=1');
});

test('an upgrade behind a request that is not answered is closed: the answer would be taken for frames', async () => {
  const answers: (() => void)[] = [];
  const listeners = new SharedListeners();
  const { port } = await upgrade(listeners, '/ws');
  const handler: Parameters<SharedListeners['http']>[0]['handler'] = (_, response) =>
    answers.push(() => response.end('late'));
  open.push(await listeners.http({ host: '127.0.0.1', port, paths: ['/slow'], handler }));
  const client = await rawClient(port);
  client.socket.write(`GET /slow HTTP/1.1\r\nHost: test\r\n\r\n${upgradeRequest('/ws')}`);
  await expect(client.until(/101/)).rejects.toThrow('closed before');
  expect(client.received).toBe('');
  answers[0]!();
});

test('calls at the same time for one address share one server', async () => {
  const listeners = new SharedListeners();
  const free = await upgrade(listeners, '/');
  await free.close();
  const ports = await Promise.all(
    ['/a', '/b', '/c'].map(async (path) => (await upgrade(listeners, path, { port: free.port })).port),
  );
  expect(ports).toEqual([free.port, free.port, free.port]);
  await expect(upgrade(listeners, '/b', { port: free.port })).rejects.toThrow(/path \/b on 127/);
});

test('port 0 is a new port each time', async () => {
  const listeners = new SharedListeners();
  const [a, b] = await Promise.all([upgrade(listeners, '/'), upgrade(listeners, '/')]);
  expect(a.port).not.toBe(b.port);
});

test('the query plays no part, and nothing of the path is decoded or tidied', async () => {
  const listeners = new SharedListeners();
  const { port } = await upgrade(listeners, '/ws');
  for (const target of ['/ws?token=a/b', '/ws?', 'http://elsewhere/ws?x', '/ws#f']) {
    const client = await rawClient(port);
    client.socket.write(upgradeRequest(target));
    await client.until(/101 Switching/);
    client.socket.destroy();
  }
  for (const target of ['/ws/', '/w%73', '//ws', '/x/../ws', '/WS', '/', '*', 'http://h', '//', '/wsx']) {
    const answer = await exchange(port, upgradeRequest(target));
    expect(answer, target).toMatch(/^HTTP\/1.1 404 Not Found\r\n/);
  }
});

test('an upgrade of an unknown path gets a 404 that closes', async () => {
  const { port } = await upgrade(new SharedListeners(), '/ws');
  const answer = await exchange(port, upgradeRequest('/nope'));
  expect(answer).toMatch(/^HTTP\/1.1 404 Not Found\r\nConnection: close\r\n/);
  expect(answer).toMatch(/\r\n\r\nNothing is served at \/nope\. Check the path\.\n$/);
});

test('an upgrade of a path for plain HTTP gets a 404', async () => {
  const listeners = new SharedListeners();
  const endpoint = await listeners.http({
    host: '127.0.0.1',
    port: 0,
    paths: ['/health'],
    handler: unexpected,
  });
  open.push(endpoint);
  expect(await exchange(endpoint.port, upgradeRequest('/health'))).toMatch(/^HTTP\/1.1 404 /);
});

test('a refused peer that has sent much more gets its answer whole', async () => {
  const { port } = await upgrade(new SharedListeners({ timeouts: { grace: 60_000 } }), '/ws');
  const answer = await exchange(port, upgradeRequest('/nope') + 'x'.repeat(4_000_000));
  expect(answer).toMatch(/ 404 .*Check the path\.\n$/s);
});

test('a refused peer that does not close is cut off', async () => {
  const { port } = await upgrade(new SharedListeners({ timeouts: { grace: 50 } }), '/ws');
  const client = await rawClient(port, '127.0.0.1', true);
  client.socket.write(upgradeRequest('/nope'));
  await client.until(/ 404 /);
  const chunk = Buffer.alloc(1000);
  const flood = setInterval(() => client.socket.write(chunk), 5);
  await client.closed;
  clearInterval(flood);
});

test('a plain request to a WebSocket path gets a 426 that says what to do', async () => {
  const { port } = await upgrade(new SharedListeners(), '/ws');
  const answer = await exchange(port, 'GET /ws?x HTTP/1.1\r\nHost: test\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1.1 426 Upgrade Required\r\n/);
  expect(answer).toMatch(/\r\nUpgrade: websocket\r\n/);
  expect(answer).toMatch(/\r\nConnection: Upgrade, close\r\n/);
  expect(answer).toMatch(/\/ws takes WebSocket connections only\. Connect to it with a WebSocket client/);
  const post = await fetch(`http://127.0.0.1:${port}/ws`, { method: 'POST', body: 'x'.repeat(100_000) });
  expect(post.status).toBe(426);
  const half = 'GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n\r\n';
  expect(await exchange(port, half), 'no Connection: Upgrade').toMatch(/^HTTP\/1.1 426 /);
});

test('a plain request to an unknown path gets a 404', async () => {
  const { port } = await upgrade(new SharedListeners(), '/ws');
  const answer = await fetch(`http://127.0.0.1:${port}/nope`);
  expect(answer.status).toBe(404);
  expect(await answer.text()).toContain('Nothing is served at /nope');
});

test('an upgrade to another protocol is a plain request: a WebSocket path says 426, a plain one answers', async () => {
  const listeners = new SharedListeners();
  const { port } = await upgrade(listeners, '/ws');
  open.push(
    await listeners.http({
      host: '127.0.0.1',
      port,
      paths: ['/health'],
      handler: (_, response) => response.setHeader('Connection', 'close').end('fine'),
    }),
  );
  const h2c = 'Upgrade: h2c\r\nConnection: Upgrade\r\n';
  expect(await exchange(port, upgradeRequest('/ws', h2c))).toMatch(
    /^HTTP\/1.1 426 .*\r\nUpgrade: websocket\r\n/s,
  );
  expect(await exchange(port, upgradeRequest('/health', h2c))).toMatch(/^HTTP\/1.1 200 .*fine/s);
  expect(await exchange(port, upgradeRequest('/nope', h2c))).toMatch(/^HTTP\/1.1 404 /);
});

test('an upgrade without Host gets a 400', async () => {
  const { port } = await upgrade(new SharedListeners(), '/ws');
  const request = upgradeRequest('/ws').replace('Host: test\r\n', '');
  expect(await exchange(port, request)).toMatch(/^HTTP\/1.1 400 /);
});

test.each([
  ['not HTTP at all', '\u0016\u0003\u0001\u0000garbage\r\n\r\n', 400],
  ['two lengths', 'GET /ws HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
  ['no Host', 'GET /ws HTTP/1.1\r\n\r\n', 400],
  ['long headers', `GET /ws HTTP/1.1\r\nHost: t\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`, 431],
  ['a long path', `GET /${'x'.repeat(17_000)} HTTP/1.1\r\nHost: t\r\n\r\n`, 431],
])('malformed HTTP is refused: %s', async (_, request, status) => {
  const { port } = await upgrade(new SharedListeners(), '/ws');
  expect(await exchange(port, request)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
});

test('a client that is slow, or says nothing, gets a 408', async () => {
  // Node looks every `checking`, and has twice that before we cut the connection ourselves: long, for a busy machine.
  const timeouts = { headers: 50, request: 100, checking: 500 };
  const { port } = await upgrade(new SharedListeners({ timeouts }), '/ws');
  expect(await exchange(port, '')).toMatch(/^HTTP\/1.1 408 /);
  expect(await exchange(port, 'GET /ws HTTP/1.1\r\nHost:')).toMatch(/^HTTP\/1.1 408 /);
});

test('a body that never ends is cut off', async () => {
  const listeners = new SharedListeners({ timeouts: { headers: 50, request: 100, checking: 10 } });
  const endpoint = await listeners.http({ host: '127.0.0.1', port: 0, paths: ['/'], handler: () => {} });
  open.push(endpoint);
  const answer = await exchange(endpoint.port, 'POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nab');
  expect(answer).toMatch(/^HTTP\/1.1 408 /);
});

test('no timeout of HTTP applies to an upgraded socket', async () => {
  const listeners = new SharedListeners({
    timeouts: { headers: 150, request: 200, keepAlive: 150, checking: 20 },
  });
  const { port } = await upgrade(listeners, '/ws');
  const http = { host: '127.0.0.1', port, paths: ['/'] };
  open.push(await listeners.http({ ...http, handler: (_, response) => response.end('first') }));
  const client = await rawClient(port);
  // The upgrade comes second on the connection, when Node has set the timeout of kept connections already.
  client.socket.write('GET / HTTP/1.1\r\nHost: t\r\n\r\n');
  await client.until(/first/);
  client.socket.write(upgradeRequest('/ws'));
  await client.until(/\/ws;/);
  // Connections that do nothing are closed meanwhile, so each timeout has passed several times.
  for (let round = 0; round < 5; round++) expect(await exchange(port, '')).toMatch(/ 408 /);
  client.socket.write('still here');
  await client.until(/still here$/);
  client.socket.destroy();
});

test('a reset before the handler listens does not end the process', async () => {
  const upgraded = Promise.withResolvers<Duplex>();
  const handler: UpgradeHandler = (_, socket) => upgraded.resolve(socket);
  const { port } = await upgrade(new SharedListeners(), '/ws', { handler });
  const client = await rawClient(port);
  client.socket.write(upgradeRequest('/ws'));
  const socket = await upgraded.promise;
  client.socket.resetAndDestroy();
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  for (const request of [upgradeRequest('/nope'), 'GET /ws HTTP/1.1\r\nHost: t\r\n\r\n', 'GET /w']) {
    const other = await rawClient(port);
    other.socket.write(request);
    other.socket.resetAndDestroy();
  }
  expect((await fetch(`http://127.0.0.1:${port}/ws`)).status).toBe(426);
});

test('a handler that throws answers 500, and the error is logged', async () => {
  const errors: unknown[] = [];
  const listeners = new SharedListeners({ onError: (error) => errors.push(error) });
  const { port } = await upgrade(listeners, '/ws', { handler: broken });
  open.push(await listeners.http({ host: '127.0.0.1', port, paths: ['/'], handler: broken }));
  expect(await exchange(port, upgradeRequest('/ws'))).toMatch(/^HTTP\/1.1 500 /);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(500);
  expect(errors).toEqual([new Error('broken'), new Error('broken')]);
});

test('the port is free at once with its last path, and not before; upgraded sockets stay', async () => {
  const listeners = new SharedListeners({ timeouts: { grace: 60_000 } });
  const a = await upgrade(listeners, '/a');
  const b = await upgrade(listeners, '/b', { port: a.port });
  const client = await rawClient(a.port);
  client.socket.write(upgradeRequest('/a'));
  await client.until(/\/a;/);

  await a.close();
  await a.close();
  expect(await exchange(a.port, upgradeRequest('/a'))).toMatch(/ 404 /);
  const half = await rawClient(a.port);
  half.socket.write('GET /b HTTP/1.1\r\n');
  const silent = await rawClient(a.port);

  await b.close();
  await Promise.all([half.closed, silent.closed]);
  const again = await upgrade(listeners, '/a', { port: a.port });
  expect(again.port).toBe(a.port);
  client.socket.write('still here');
  await client.until(/still here/);
  client.socket.destroy();
});

test('a request under way is answered before the closed server lets go of it', async () => {
  const listeners = new SharedListeners();
  const asked = Promise.withResolvers<() => void>();
  const endpoint = await listeners.http({
    host: '127.0.0.1',
    port: 0,
    paths: ['/'],
    handler: (_, response) => asked.resolve(() => response.end('late')),
  });
  const client = await rawClient(endpoint.port);
  client.socket.write('GET / HTTP/1.1\r\nHost: t\r\n\r\n');
  const answer = await asked.promise;
  await endpoint.close();
  answer();
  expect(await client.closed).toMatch(/ 200 OK.*late/s);
});

test('a request that its handler never answers is cut off when the server has closed', async () => {
  const listeners = new SharedListeners({ timeouts: { grace: 50 } });
  const asked = Promise.withResolvers<void>();
  const http = { host: '127.0.0.1', port: 0, paths: ['/'] };
  const endpoint = await listeners.http({ ...http, handler: () => asked.resolve() });
  const client = await rawClient(endpoint.port);
  client.socket.write('GET / HTTP/1.1\r\nHost: t\r\n\r\n');
  await asked.promise;
  await endpoint.close();
  expect(await client.closed).toBe('');
});

test('the same path twice is a conflict, and leaves the first as it was', async () => {
  const listeners = new SharedListeners();
  const { port } = await upgrade(listeners, '/ws');
  const expected = { code: 'MILLRACE_LISTEN_CONFLICT', fatal: true };
  await expect(upgrade(listeners, '/ws', { port })).rejects.toMatchObject({
    ...expected,
    message: `the path /ws on 127.0.0.1:${port} is taken by another component; give each its own path`,
  });
  const http = { host: '127.0.0.1', port, handler: () => {} };
  await expect(listeners.http({ ...http, paths: ['/x', '/ws'] })).rejects.toMatchObject(expected);
  await expect(listeners.http({ ...http, paths: ['/y', '/y'] })).rejects.toMatchObject(expected);
  expect(await exchange(port, 'GET /x HTTP/1.1\r\nHost: t\r\n\r\n'), 'all paths or none').toMatch(/ 404 /);
  const client = await rawClient(port);
  client.socket.write(upgradeRequest('/ws'));
  await client.until(/\/ws;/);
  client.socket.destroy();
});

test('an address in use is refused with the remedy', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const address = blocker.address();
  const port = typeof address === 'object' ? address!.port : 0;
  const listeners = new SharedListeners();
  const both = await Promise.allSettled([
    upgrade(listeners, '/a', { port }),
    upgrade(listeners, '/b', { port }),
  ]);
  for (const each of both) {
    expect(each).toMatchObject({
      reason: {
        code: 'MILLRACE_LISTEN_FAILED',
        fatal: false,
        message: `cannot listen on 127.0.0.1:${port}: the address is in use (EADDRINUSE); stop the program that has it, or choose another port`,
      },
    });
  }
  await new Promise((resolve) => blocker.close(resolve));
  expect((await upgrade(listeners, '/a', { port })).port, 'a failure is not remembered').toBe(port);
});

test('one port on two hosts of our own is refused with the reason', async () => {
  const listeners = new SharedListeners();
  const { port } = await upgrade(listeners, '/a', { host: '0.0.0.0' });
  const attempt = upgrade(listeners, '/b', { port });
  await expect(attempt).rejects.toMatchObject({ fatal: true });
  await expect(attempt).rejects.toThrow(
    new RegExp(`cannot listen on 127.0.0.1:${port}: .*this process itself listens on 0.0.0.0:${port}`),
  );
});

test.each([
  ['192.0.2.1', /cannot listen on 192.0.2.1:0: .*not one of this machine’s.*EADDRNOTAVAIL/],
  ['no-such-host.invalid', /cannot listen on no-such-host.invalid:0: .*(ENOTFOUND|EAI_AGAIN)/],
])('a host that is not of this machine is refused: %s', async (host, message) => {
  const attempt = upgrade(new SharedListeners(), '/', { host });
  await expect(attempt).rejects.toMatchObject({ code: 'MILLRACE_LISTEN_FAILED', fatal: true });
  await expect(attempt).rejects.toThrow(message);
});

test('IPv6 hosts', async () => {
  const listeners = new SharedListeners();
  const { port } = await upgrade(listeners, '/a', { host: '::1' });
  await upgrade(listeners, '/b', { host: '::1', port });
  expect(await exchange(port, upgradeRequest('/nope'), '::1')).toMatch(/ 404 /);
  await expect(upgrade(listeners, '/b', { host: '::1', port })).rejects.toThrow(`on [::1]:${port} is taken`);
});

test('ws itself is served on a path', async () => {
  const wss = new WebSocketServer({ noServer: true });
  const handler: UpgradeHandler = (request, socket, head) =>
    wss.handleUpgrade(request, socket, Buffer.from(head), (peer) => {
      peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
    });
  const { port } = await upgrade(new SharedListeners(), '/ws', { handler });
  const client = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  await once(client, 'open');
  client.send('hello');
  expect(await once(client, 'message')).toEqual([Buffer.from('hello'), false]);
  client.terminate();
  const wrong = new WebSocket(`ws://127.0.0.1:${port}/nope`);
  expect(await once(wrong, 'error')).toEqual([new Error('Unexpected server response: 404')]);
});

test('requests that no component sees are logged, with the paths that are served', async () => {
  const refusals: unknown[] = [];
  const own = new SharedListeners({ onRefused: (refusal) => refusals.push(refusal) });
  const endpoint = await own.upgrade({ host: '127.0.0.1', port: 0, path: '/ws', handler: () => {} });
  try {
    expect((await fetch(`http://127.0.0.1:${endpoint.port}/ws`)).status).toBe(426);
    expect((await fetch(`http://127.0.0.1:${endpoint.port}/dev/?token=secret`)).status).toBe(404);
    const common = { remote_address: '127.0.0.1', served: ['/ws'] };
    expect(refusals).toEqual([
      { status: 426, reason: 'a plain HTTP request', path: '/ws', ...common },
      { status: 404, reason: 'nothing is served at /dev/', path: '/dev/', ...common },
    ]);
  } finally {
    await endpoint.close();
  }
});
