import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { rawClient } from '../control/raw.ts';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes } from '../support/engine.ts';
import { handshake, startServer, statusOf } from '../support/handshakes.ts';
import { startNginx } from '../support/nginx.ts';
import { connectPage, openPage } from '../support/pages.ts';
import { connectClient } from '../support/peers.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../control/fixtures/${name}.pem`, import.meta.url));

const statusFrom = (url: string, origin: string, headers: Record<string, string> = {}): Promise<number> =>
  statusOf(url, { Origin: origin, ...headers });

test('by default a page of the same host and port may connect, and a client that sends no origin', async () => {
  const run = await startServer('metadata: { headers: [origin] }');
  const url = await run.url();
  const port = new URL(url).port;
  expect(await statusOf(url)).toBe(101);
  expect(await statusFrom(url, `http://127.0.0.1:${port}`)).toBe(101);
  expect(await statusFrom(url, `HTTP://127.0.0.1:${port}`)).toBe(101);
  const refused = [
    'https://evil.example',
    `http://127.0.0.1`,
    `http://127.0.0.1:${Number(port) + 1}`,
    `http://localhost:${port}`,
    `http://127.0.0.1:${port}.evil.example`,
    `http://127.0.0.1.evil.example:${port}`,
    `http://127.0.0.1:${port}@evil.example`,
    `http://evil.example@127.0.0.1:${port}`,
    `http://127.0.0.1:${port}/`,
    `http://127.0.0.1:${port}/path`,
    `http://127.0.0.1:${port}#x`,
    `http://evil.example\\@127.0.0.1:${port}`,
    `http://127.0.0.1:${port}, https://evil.example`,
    `https://evil.example, http://127.0.0.1:${port}`,
    `https://evil.example\r\nOrigin: http://127.0.0.1:${port}`,
    `http://127.0.0.1:${port}\r\nOrigin: https://evil.example`,
    `127.0.0.1:${port}`,
    `//127.0.0.1:${port}`,
    'null',
    'http://',
    '*',
    'garbage',
    'file://',
  ];
  for (const origin of refused) expect([origin, await statusFrom(url, origin)]).toEqual([origin, 403]);
  expect(await run.metric('millrace_connections_refused_total', 'status="403"')).toBe(refused.length);
  const line = run.log.find(({ msg }) => msg.startsWith('connection refused with 403: '));
  expect(line).toMatchObject({
    reason: 'the origin https://evil.example is not allowed; list it in `allowed_origins`',
  });
});

test('an empty origin may not connect', async () => {
  const url = await (await startServer('')).url();
  expect(await statusFrom(url, '')).toBe(403);
});

test.each([
  // Host header, origin, status. The listener is plain: a proxy may have taken TLS off.
  ['feed.example.com', 'http://feed.example.com', 101],
  ['feed.example.com', 'https://feed.example.com', 101],
  ['FEED.example.com', 'https://feed.Example.com', 101],
  ['feed.example.com:80', 'http://feed.example.com', 101],
  ['feed.example.com:443', 'https://feed.example.com', 101],
  ['feed.example.com', 'https://feed.example.com:443', 101],
  ['feed.example.com:443', 'http://feed.example.com', 403],
  ['feed.example.com', 'https://feed.example.com:8443', 403],
  ['feed.example.com:8443', 'https://feed.example.com:8443', 101],
  ['feed.example.com', 'https://feed.example.com.', 403],
  ['feed.example.com.', 'https://feed.example.com.', 101],
  ['feed.example.com', 'https://example.com', 403],
  ['feed.example.com', 'https://feed.example.com.evil.example', 403],
  ['[::1]:9000', 'http://[::1]:9000', 101],
  ['[::1]:9000', 'http://[0:0::1]:9000', 101],
  ['xn--mnchen-3ya.example', 'https://xn--mnchen-3ya.example', 101],
  ['a@feed.example.com', 'https://feed.example.com', 403],
  ['feed.example.com/x', 'https://feed.example.com', 403],
])('by default: Host %s, Origin %s: %i', async (host, origin, status) => {
  const { port } = new URL(await (await startServer('')).url());
  const client = await rawClient(Number(port));
  afterTest(() => client.socket.destroy());
  client.socket.write(
    `GET / HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\nX-Forwarded-For: 192.0.2.7\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  expect(await client.until(/\r\n\r\n/)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
});

test('lists: exact origins, subdomains of one, `null`, each with its scheme and port', async () => {
  const run = await startServer(
    'allowed_origins: ["https://App.Example.com", "https://*.example.org", "http://localhost:3000", "null", "chrome-extension://abcdef", "https://*.port.example:8443"]',
  );
  const url = await run.url();
  const { port } = new URL(url);
  const expected: Record<string, number> = {
    'https://app.example.com': 101,
    'https://app.example.com:443': 101,
    'HTTPS://APP.EXAMPLE.COM': 101,
    'http://app.example.com': 403,
    'https://app.example.com:8443': 403,
    'https://app.example.com.': 403,
    'https://x.app.example.com': 403,
    'https://app.example.com.evil.example': 403,
    'https://app.example.com@evil.example': 403,
    'https://a.example.org': 101,
    'https://a.b.example.org': 101,
    'https://example.org': 403,
    'https://.example.org': 403,
    'https://evilexample.org': 403,
    'https://*.example.org': 403,
    'http://a.example.org': 403,
    'https://a.example.org:444': 403,
    'https://evil.example/.example.org': 403,
    'https://evil.example?.example.org': 403,
    'https://evil.example#.example.org': 403,
    'https://evil.example\\.example.org': 403,
    'https://evil.example:443@a.example.org': 403,
    'https://a.port.example:8443': 101,
    'https://a.port.example': 403,
    'http://localhost:3000': 101,
    'http://localhost:3001': 403,
    null: 101,
    NULL: 403,
    'null, null': 403,
    'chrome-extension://abcdef': 101,
    'chrome-extension://other': 403,
    // With a list, the own host is nothing special.
    [`http://127.0.0.1:${port}`]: 403,
  };
  const seen: Record<string, number> = {};
  for (const origin of Object.keys(expected)) seen[origin] = await statusFrom(url, origin);
  expect(seen).toEqual(expected);
  expect(await statusOf(url)).toBe(101);
});

test('`*` allows every page; an empty list allows none', async () => {
  const all = await (await startServer('allowed_origins: ["*"]')).url();
  for (const origin of ['https://any.example', 'null', 'garbage'])
    expect(await statusFrom(all, origin)).toBe(101);
  const none = await (await startServer('allowed_origins: []')).url();
  expect(await statusFrom(none, `http://127.0.0.1:${new URL(none).port}`)).toBe(403);
  expect(await statusOf(none)).toBe(101);
});

test('pages that come from no host can be allowed: `file://` as Electron and Cordova send it', async () => {
  const url = await (await startServer('allowed_origins: ["file://", "app://"]')).url();
  const seen: Record<string, number> = {};
  for (const origin of [
    'file://',
    'FILE://',
    'app://',
    'null',
    'file:///',
    'file://host',
    'content://',
    'file:',
  ])
    seen[origin] = await statusFrom(url, origin);
  expect(seen).toEqual({
    'file://': 101,
    'FILE://': 101,
    'app://': 101,
    null: 403,
    'file:///': 403,
    'file://host': 403,
    'content://': 403,
    'file:': 403,
  });
});

test('the host and scheme that a trusted proxy gives count; those of others do not', async () => {
  const forwarded = { 'X-Forwarded-Host': 'feed.example.com', 'X-Forwarded-Proto': 'https' };
  const origin = 'https://feed.example.com';
  const trusting = await (await startServer('trusted_proxies: [127.0.0.1]')).url();
  expect(await statusFrom(trusting, origin, forwarded)).toBe(101);
  expect(await statusFrom(trusting, origin)).toBe(403);
  expect(await statusFrom(trusting, 'http://feed.example.com', forwarded)).toBe(403);
  expect(await statusFrom(trusting, 'https://feed.example.com:8443', forwarded)).toBe(403);
  expect(await statusFrom(trusting, origin, { ...forwarded, 'X-Forwarded-Proto': 'http' })).toBe(403);
  const first = { ...forwarded, 'X-Forwarded-Host': 'feed.example.com, inner.example' };
  expect(await statusFrom(trusting, origin, first)).toBe(101);
  const other = await (await startServer('trusted_proxies: [10.0.0.0/8]')).url();
  expect(await statusFrom(other, origin, forwarded)).toBe(403);
});

test('on a listener with TLS, a page that came without it is of another origin', async () => {
  const [cert, key] = ['server', 'server-key'].map((name) => fixture(name));
  const url = await (await startServer(`tls: { cert_file: "${cert}", key_file: "${key}" }`)).url();
  const connect = (origin: string) =>
    connectClient(url, { ca: readFileSync(fixture('ca')), headers: { host: 'feed.example.com', origin } });
  await connect('https://feed.example.com');
  await expect(connect('http://feed.example.com')).rejects.toThrow('403');
});

test('an origin that is not allowed is refused before its credentials are checked', async () => {
  const run = await startServer('auth: { type: bearer, tokens: [t0ken] }, limits: { failed_logins: 1 }');
  const url = await run.url();
  expect(await statusFrom(url, 'https://evil.example', { Authorization: 'Bearer wrong' })).toBe(403);
  expect(await statusOf(url, { Authorization: 'Bearer t0ken' })).toBe(101);
});

test('in Chromium a page of another origin cannot connect; one of the same host can', async () => {
  const strict = await startServer('');
  const { page, origin } = await openPage('pages.test');
  expect(await connectPage(page, await strict.url())).toBeUndefined();
  await strict.logged(/^connection refused with 403: /);
  const listed = await startServer(`allowed_origins: ["http://*.test:${new URL(origin).port}"]`);
  expect(await connectPage(page, await listed.url())).toBe('');
  await listed.output().count(1);
  // Behind nginx, a page and the server have the same host and port.
  const run = await startServer('trusted_proxies: [127.0.0.1]');
  const port = await startNginx(await run.port());
  await page.goto(`http://pages.test:${port}/page`);
  expect(await connectPage(page, `ws://pages.test:${port}/`)).toBe('');
  expect(await run.output().count(1)).toEqual(['from the page']);
  // To the browser, the name of the host matters, not its address.
  expect(await connectPage(page, `ws://other.test:${port}/`)).toBeUndefined();
  await page.goto(`http://pages.test:${port}/sandboxed`);
  expect(await connectPage(page, `ws://pages.test:${port}/`)).toBeUndefined();
  const opaque = await startServer('allowed_origins: ["null"]');
  expect(await connectPage(page, await opaque.url())).toBe('');
}, 60_000);

test('the answer to an origin that is not allowed says so', async () => {
  const { peer, head } = await handshake(await (await startServer('')).url(), {
    Origin: 'https://evil.example',
  });
  await peer.gone();
  expect(head).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
});

test.each([
  'app.example.com',
  'https://',
  'https://app.example.com/',
  'https://app.example.com/path',
  'https://user@app.example.com',
  'https://*',
  'https://a.*.example.com',
  'https://app*.example.com',
  'https://app.example.com:99999',
  'https://a b',
  'NULL',
  '',
])('is not an origin: %j', (origin) => {
  const yaml = `- input: { type: websocket, mode: server, port: 1, allowed_origins: [${JSON.stringify(origin)}] }\n`;
  expect(configMistakes(yaml).join()).toMatch(/allowed_origins\[0\]: .*not an origin; expected one like/);
});
