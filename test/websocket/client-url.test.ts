import { createServer, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer } from '../support/peers.ts';
import { TokenEndpoint } from '../support/token-endpoint.ts';

const quick = 'reconnect: { initial: 1ms, max: 5ms }';
const input = (fields: string): string => `
streams:
  - input: { type: websocket, ${fields}, ${quick} }
    output: { type: collect }
`;
const feed = (): Promise<FaultServer> =>
  new FaultServer((peer) => void peer.accept({ then: frame('text', 'in') })).up();

/** In single quotes, as YAML has them. */
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

test.each([
  ["/feed?q=it's", "/feed?q=it's"],
  ['/feed?q="a"<b>', '/feed?q="a"<b>'],
  ['/feed?f={a|b}^`\\[]', '/feed?f={a|b}^`\\[]'],
  ['/a/../b/./c', '/a/../b/./c'],
  ['/a"b/{c}', '/a"b/{c}'],
  ['/x%2fy%?z=%zz&&=+;', '/x%2fy%?z=%zz&&=+;'],
  ['?only', '/?only'],
  ['', '/'],
  ['/?', '/?'],
  ['/a b?c d', '/a%20b?c%20d'],
  ['/ü?ö=😀', '/%C3%BC?%C3%B6=%F0%9F%98%80'],
])('for a URL that ends in %s, the request is for %s', async (written, target) => {
  const server = await feed();
  const run = await startEngine(input(`url: ${quoted(`ws://127.0.0.1:${server.port}${written}`)}`));
  await run.output().count(1);
  expect(server.peers[0]!.target).toBe(target);
});

test.each([
  ["/feed?q=it's", "/feed?q=it's&a%20b=c%26d"],
  ['/feed?', '/feed?a%20b=c%26d'],
  ['/feed', '/feed?a%20b=c%26d'],
])('`query` is added to %s', async (written, target) => {
  const server = await feed();
  const run = await startEngine(
    input(`url: ${quoted(`ws://127.0.0.1:${server.port}${written}`)}, query: { "a b": "c&d" }`),
  );
  await run.output().count(1);
  expect(server.peers[0]!.target).toBe(target);
});

test('a line break in a URL makes no second line of the request', async () => {
  const server = await feed();
  const run = await startEngine(
    input(`url: "ws://127.0.0.1:${server.port}/feed?q=a\\r\\nX-Admin: 1&{{env:X}}"`),
    { X: 'b\r\nX-Root: 1' },
  );
  await run.output().count(1);
  expect(server.peers[0]!.target).toBe('/feed?q=aX-Admin:%201&b%0D%0AX-Root%3A%201');
  expect(server.peers[0]!.header('x-admin')).toBeUndefined();
  expect(server.peers[0]!.header('x-root')).toBeUndefined();
});

test.each([
  ["/next?q=it's", "/next?q=it's"],
  ["?q=it's<", "/a/feed?q=it's<"],
  ['up?{}', '/a/up?{}'],
  ['//HOST/x\'y?"#part', '/x\'y?"'],
  ['ws://HOST/x\'y?"', '/x\'y?"'],
])('a redirect to %s requests %s', async (location, target) => {
  const server = await new FaultServer((peer) => {
    if (server.peers.length > 1) return void peer.accept({ then: frame('text', 'in') });
    const to = location.replace('HOST', `127.0.0.1:${server.port}`);
    return void peer.socket.end(`HTTP/1.1 302 Found\r\nLocation: ${to}\r\nContent-Length: 0\r\n\r\n`);
  }).up();
  const run = await startEngine(input(`url: "ws://127.0.0.1:${server.port}/a/feed?b"`));
  await run.output().count(1);
  expect(server.peers[1]!.target).toBe(target);
});

test('a redirect that differs in its encoding is not a loop', async () => {
  const server = await new FaultServer((peer) => {
    if (peer.target === '/feed?q=it%27s') return void peer.accept({ then: frame('text', 'in') });
    return void peer.socket.end(
      'HTTP/1.1 302 Found\r\nLocation: /feed?q=it%27s\r\nContent-Length: 0\r\n\r\n',
    );
  }).up();
  const run = await startEngine(input(`url: "ws://127.0.0.1:${server.port}/feed?q=it's"`));
  expect(await run.output().count(1)).toEqual(['in']);
});

test('through a proxy the server is asked for the same', async () => {
  const server = await feed();
  const proxy = createServer();
  proxy.on('connect', (_: IncomingMessage, socket: Socket) => {
    const target = connect(server.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Go\r\n\r\n');
      socket.pipe(target).pipe(socket);
    });
    for (const each of [socket, target]) each.on('error', () => {}).on('close', () => socket.destroy());
    afterTest(() => void target.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  afterTest(() => void proxy.close());
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  const run = await startEngine(
    input(`url: "ws://127.0.0.1:${server.port}/f?q=it's\\"<", proxy: "http://127.0.0.1:${port}"`),
  );
  await run.output().count(1);
  expect(server.peers[0]!.target).toBe(`/f?q=it's"<`);
});

test('a token endpoint gets the path and query of `token_url`', async () => {
  const endpoint = await new TokenEndpoint().up();
  const server = await feed();
  const run = await startEngine(
    input(
      `url: "${server.url}", auth: { type: oauth2, token_url: "${endpoint.url}?realm=it's", client_id: a, client_secret: b }`,
    ),
  );
  await run.output().count(1);
  expect(endpoint.requests.map(({ target }) => target)).toEqual(["/token?realm=it's"]);
});
