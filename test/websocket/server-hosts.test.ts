import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { expect, test } from 'vitest';
import { exchange } from '../control/raw.ts';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { startServer, statusOf } from '../support/handshakes.ts';
import { connectPage, openPage } from '../support/pages.ts';
import { connectClient, freePort } from '../support/peers.ts';

/** The status of a handshake with exactly these headers besides its own. */
async function statusFor(port: number, headers: string): Promise<number> {
  const request = `GET / HTTP/1.1\r\n${headers}Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: `;
  // With no key it is refused with 400 where it would have been let in.
  const answer = await exchange(port, `${request}\r\n\r\n`);
  return Number(answer.slice(9, 12));
}
const LET_IN = 400;

const page = (host: string, more = ''): string => `Host: ${host}\r\nOrigin: http://${host}\r\n${more}`;

test('by default, a page that reaches this machine under its own name is refused', async () => {
  const run = await startServer('');
  const port = await run.port();
  const cases: [string, number][] = [
    [page(`attacker.example:${port}`), 403],
    [page('attacker.example.'), 403],
    [page(`localhost.attacker.example:${port}`), 403],
    [page('127.0.0.1.attacker.example'), 403],
    [page(`localhost:${port}`), LET_IN],
    [page(`LOCALHOST:${port}`), LET_IN],
    [page(`app.localhost:${port}`), LET_IN],
    [page(`127.0.0.1:${port}`), LET_IN],
    [page(`[::1]:${port}`), LET_IN],
    [page('192.0.2.7'), LET_IN],
    [page(`${hostname()}:${port}`), LET_IN],
    // No browser, and one behind a proxy.
    [`Host: feed.example.com\r\n`, LET_IN],
    [page('feed.example.com', 'X-Forwarded-For: 192.0.2.7\r\n'), LET_IN],
  ];
  const seen: [string, number][] = [];
  for (const [headers] of cases) seen.push([headers, await statusFor(port, headers)]);
  expect(seen).toEqual(cases);
  const line = await run.logged(/^connection refused with 403/);
  expect(line['reason']).toBe(
    `the host attacker.example:${port} is not allowed; list it in \`allowed_hosts\``,
  );
});

test('listed origins decide which pages may connect', async () => {
  const port = await (await startServer('allowed_origins: ["http://feed.example.com"]')).port();
  expect(await statusFor(port, page('feed.example.com'))).toBe(LET_IN);
  expect(await statusFor(port, page('attacker.example'))).toBe(403);
});

test('`allowed_hosts` applies to every client, and a name with `*.` stands for its subdomains', async () => {
  const run = await startServer('allowed_hosts: [feed.example.com, "*.Example.org"], allowed_origins: ["*"]');
  const port = await run.port();
  const seen: Record<string, number> = {};
  const hosts = {
    'feed.example.com': LET_IN,
    'FEED.example.com.:8080': LET_IN,
    'x.feed.example.com': 403,
    'a.example.org': LET_IN,
    'a.b.example.org': LET_IN,
    'example.org': 403,
    '.example.org': 403,
    'evilexample.org': 403,
    'a@feed.example.com': 400,
    'attacker.example': 403,
    localhost: LET_IN,
    '127.0.0.1': LET_IN,
  };
  for (const host of Object.keys(hosts)) seen[host] = await statusFor(port, `Host: ${host}\r\n`);
  expect(seen).toEqual({ ...hosts, 'a@feed.example.com': 403 });
  const any = await startServer('allowed_hosts: ["*"]');
  expect(await statusFor(await any.port(), page('any.example'))).toBe(LET_IN);
});

test('behind a trusted proxy, the host that the client asked for counts', async () => {
  const run = await startServer('allowed_hosts: [feed.example.com], trusted_proxies: [127.0.0.1]');
  const url = await run.url();
  const forwarded = (host: string) => ({ 'X-Forwarded-Host': host, 'X-Forwarded-For': '192.0.2.7' });
  expect(await statusOf(url, forwarded('feed.example.com'))).toBe(101);
  expect(await statusOf(url, forwarded('attacker.example'))).toBe(403);
});

test('an output that listens has it as well', async () => {
  const run = await startEngine(`
- input: { type: websocket, url: "ws://127.0.0.1:1/" }
  output: { type: websocket, mode: server, host: 127.0.0.1, port: 0, allowed_hosts: [feed.example.com] }
`);
  const url = await run.url();
  await expect(connectClient(url, { headers: { host: 'other.example' } })).rejects.toThrow('403');
});

test('health and metrics answer no name that a page could point here', async () => {
  const run = await startServer('');
  const { msg } = await run.logged(/^health on /);
  const port = Number(new URL(msg.slice('health on '.length)).port);
  const status = async (path: string, host: string, version = '1.1'): Promise<number> =>
    Number(
      (await exchange(port, `GET ${path} HTTP/${version}\r\n${host}Connection: close\r\n\r\n`)).slice(9, 12),
    );
  for (const path of ['/health', '/readiness', '/liveness', '/metrics']) {
    expect([path, await status(path, 'Host: attacker.example\r\n')]).toEqual([path, 403]);
    expect([path, await status(path, `Host: localhost:${port}\r\n`)]).toEqual([path, 200]);
    expect([path, await status(path, 'Host: 10.1.2.3:4747\r\n')]).toEqual([path, 200]);
    // Old health checks send none.
    expect([path, await status(path, '', '1.0')]).toEqual([path, 200]);
  }
  // Headers that a page could set on a request to its own origin change nothing.
  expect(await status('/metrics', 'Host: attacker.example\r\nX-Forwarded-For: 192.0.2.7\r\n')).toBe(403);
});

test('`health_check.allowed_hosts` lists others', async () => {
  const port = await freePort();
  const run = await startEngine(`
health_check: { address: "127.0.0.1:${port}", allowed_hosts: [millrace.example.com] }
streams: [{ input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }, output: { type: drop } }]
`);
  const { msg } = await run.logged(/^health on /);
  const actual = Number(new URL(msg.slice('health on '.length)).port);
  const get = async (host: string): Promise<string> =>
    (await exchange(actual, `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).slice(
      9,
      12,
    );
  expect([
    await get('millrace.example.com:4747'),
    await get('other.example'),
    await get('127.0.0.1'),
  ]).toEqual(['200', '403', '200']);
});

/** An attacker's site once its name leads here: its page has come already, the rest comes from `port`. */
async function rebound(port: number): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (chunk: Buffer) => {
      if (chunk.includes('GET /trap ')) {
        const html = '<!doctype html><title>attacker</title>';
        socket.end(
          `HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${html.length}\r\nConnection: close\r\n\r\n${html}`,
        );
        return;
      }
      const inner = connect({ port, host: '127.0.0.1' });
      inner.on('error', () => {});
      inner.write(chunk);
      socket.pipe(inner).pipe(socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('in Chromium, a site whose name is rebound to this machine gets neither a connection nor the metrics', async () => {
  const run = await startServer('');
  const { msg } = await run.logged(/^health on /);
  const health = await rebound(Number(new URL(msg.slice('health on '.length)).port));
  const port = await rebound(await run.port());
  const { page: tab } = await openPage();
  await tab.goto(`http://attacker.test:${port}/trap`);
  expect(await connectPage(tab, `ws://attacker.test:${port}/`)).toBeUndefined();
  await run.logged(/^connection refused with 403: the host attacker\.test/);
  await tab.goto(`http://attacker.test:${health}/trap`);
  expect(await tab.evaluate(`fetch('/metrics').then((response) => response.status)`)).toBe(403);
  await tab.goto(`http://localhost:${port}/trap`);
  expect(await connectPage(tab, `ws://localhost:${port}/`)).toBe('');
}, 60_000);

test.each([
  'https://feed.example.com',
  'feed.example.com:8080',
  'feed.example.com/',
  'a.*.example.com',
  '*.',
  '',
])('is not a host: %j', (host) => {
  const list = `[${JSON.stringify(host)}]`;
  const yaml = `health_check: { allowed_hosts: ${list} }\nstreams:\n  - input: { type: websocket, mode: server, port: 1, allowed_hosts: ${list} }\n`;
  const mistakes = configMistakes(yaml).join('\n');
  expect(mistakes).toMatch(/health_check\.allowed_hosts\[0\]: .*not a host; expected one like/);
  expect(mistakes).toMatch(/input\.allowed_hosts\[0\]: .*not a host; expected one like/);
});
