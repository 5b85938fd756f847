import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, type ConnectionOptions } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import type { Endpoint, ListenerTls } from '../../src/component/listeners.ts';
import { SharedListeners } from '../../src/control/listeners.ts';
import { RawClient, exchange, rawClient, upgradeRequest } from './raw.ts';

const pem = (name: string): string => readFileSync(new URL(`fixtures/${name}.pem`, import.meta.url), 'utf8');
const server: ListenerTls = { cert: pem('server'), key: pem('server-key') };
const ca = pem('ca');

const open: Endpoint[] = [];
afterEach(async () => {
  for (const endpoint of open.splice(0)) await endpoint.close();
});

async function listen(
  listeners: SharedListeners,
  tls: ListenerTls | undefined,
  path: string,
  port = 0,
): Promise<number> {
  const endpoint = await listeners.upgrade({
    host: '127.0.0.1',
    port,
    path,
    tls,
    handler: (_, socket) => socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\n${path};`),
  });
  open.push(endpoint);
  return endpoint.port;
}

async function secureExchange(
  port: number,
  request: string,
  options: ConnectionOptions = {},
): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ...options });
  await once(socket, 'secureConnect');
  const client = new RawClient(socket);
  socket.write(request);
  return client.closed;
}

test('TLS: upgrades, plain requests and unknown paths', async () => {
  const port = await listen(new SharedListeners(), server, '/ws');
  expect(await secureExchange(port, upgradeRequest('/ws'))).toMatch(/ 101 .*\/ws;$/s);
  expect(await secureExchange(port, upgradeRequest('/nope'))).toMatch(/ 404 /);
  expect(await secureExchange(port, 'GET /ws HTTP/1.1\r\nHost: t\r\n\r\n')).toMatch(/ 426 .*wss:\/\//s);
});

test('plain HTTP to a TLS port is closed, and the next client is served', async () => {
  const port = await listen(new SharedListeners(), server, '/ws');
  expect(await exchange(port, upgradeRequest('/ws'))).not.toMatch(/ 101 /);
  expect(await secureExchange(port, upgradeRequest('/ws'))).toMatch(/ 101 /);
});

test('with an authority for clients, only those with its certificate come in', async () => {
  const port = await listen(new SharedListeners(), { ...server, ca }, '/ws');
  const own = { cert: pem('client'), key: pem('client-key') };
  expect(await secureExchange(port, upgradeRequest('/ws'), own)).toMatch(/ 101 /);
  // With TLS 1.3 the client learns that it was refused only after its own handshake.
  expect(await secureExchange(port, upgradeRequest('/ws'))).toBe('');
});

test('a TLS handshake has as long as is configured, and not as long as usual', async () => {
  const listeners = new SharedListeners({ timeouts: { headers: 1, checking: 5, grace: 1 } });
  const claim = { host: '127.0.0.1', port: 0, tls: server };
  const short = await listeners.upgrade({ ...claim, path: '/short', handler: () => {} });
  const long = await listeners.upgrade({
    ...claim,
    path: '/long',
    handshake: { timeout: 60_000, headerSize: 16_384 },
    handler: (_, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\nin time;'),
  });
  open.push(short, long);
  // Neither says anything until the one that has only the usual time is closed.
  const [late, early] = [await rawClient(long.port), await rawClient(short.port)];
  await early.closed;
  expect(late.socket.readableEnded).toBe(false);
  const socket = connect({ socket: late.socket, servername: 'localhost', ca });
  socket.on('error', () => {});
  const client = new RawClient(socket);
  socket.write(upgradeRequest('/long'));
  expect(await client.until(/in time;$/)).toMatch(/ 101 /);
});

test('one port takes paths with the same TLS only', async () => {
  const listeners = new SharedListeners();
  const port = await listen(listeners, server, '/a');
  const same = { cert: Buffer.from(server.cert), key: Buffer.from(server.key) };
  expect(await listen(listeners, same, '/b', port)).toBe(port);
  const conflict = { code: 'MILLRACE_LISTEN_CONFLICT', fatal: true };
  await expect(listen(listeners, undefined, '/c', port)).rejects.toMatchObject(conflict);
  await expect(listen(listeners, { ...server, ca }, '/c', port)).rejects.toMatchObject(conflict);
  await expect(listen(listeners, { ...server, ca }, '/c', port)).rejects.toThrow(/wanted for the path \/c/);
});

test('a certificate that cannot be used is refused', async () => {
  const wrong = { code: 'MILLRACE_TLS_INVALID', fatal: true };
  const listeners = new SharedListeners();
  await expect(listen(listeners, { cert: 'x', key: 'y' }, '/')).rejects.toMatchObject(wrong);
  await expect(listen(listeners, { ...server, key: pem('client-key') }, '/')).rejects.toMatchObject(wrong);
  await expect(listen(listeners, { ...server, ca: 'x' }, '/')).rejects.toMatchObject(wrong);
});
