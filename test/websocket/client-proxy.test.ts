import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { readFileSync } from 'node:fs';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, freePort } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { TokenEndpoint } from '../support/token-endpoint.ts';
import { Tool, requireTool } from '../support/tools.ts';
import { until } from '../support/until.ts';

const quick = 'reconnect: { initial: 1ms, max: 5ms }';
const input = (fields: string): string => `
streams:
  - input: { type: websocket, ${fields}, ${quick} }
    output: { type: collect }
`;
const pem = (name: string): string =>
  readFileSync(new URL(`../control/fixtures/${name}.pem`, import.meta.url), 'utf8');
const feed = (): Promise<FaultServer> =>
  new FaultServer((peer) => void peer.accept({ then: frame('text', 'through') })).up();

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})));
  afterTest(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Resolves when something listens on the port. */
async function listens(port: number): Promise<void> {
  await until(`a listener on ${port}`, async () => {
    const socket = connect({ port, host: '127.0.0.1' });
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return open;
  });
}

/** A proxy for CONNECT that takes every name for this machine, and remembers what it was asked. */
class ConnectProxy {
  readonly requests: IncomingMessage[] = [];
  port = 0;

  async up(secure = false): Promise<this> {
    const server = secure
      ? createHttpsServer({ key: pem('server-key'), cert: pem('server') })
      : createHttpServer();
    server.on('connect', (request: IncomingMessage, socket: Socket) => {
      this.requests.push(request);
      const target = connect({ host: '127.0.0.1', port: Number(request.url!.split(':').at(-1)) });
      target.once('connect', () => {
        socket.write('HTTP/1.1 200 Go\r\n\r\n');
        socket.pipe(target).pipe(socket);
      });
      for (const each of [socket, target])
        each
          .on('error', () => {})
          .on('close', () => {
            socket.destroy();
            target.destroy();
          });
    });
    this.port = await listen(server);
    return this;
  }
}

async function tinyproxy(more = ''): Promise<{ port: number; tool: Tool }> {
  const port = await freePort();
  const config = tempDir().file(
    'tinyproxy.conf',
    `Port ${port}\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nLogLevel Connect\n${more}\n`,
  );
  const tool = new Tool(requireTool('tinyproxy'), ['-d', '-c', config]).mustNotFail();
  await listens(port);
  return { port, tool };
}

async function microsocks(...args: string[]): Promise<number> {
  const port = await freePort();
  const path = requireTool('microsocks');
  const { child } = new Tool(path, ['-i', '127.0.0.1', '-p', String(port), ...args]);
  await listens(port);
  expect(child.exitCode).toBeNull();
  return port;
}

describe('tinyproxy', () => {
  test('an input and an output go through it, with CONNECT', async () => {
    const server = await feed();
    const { port, tool } = await tinyproxy();
    const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${server.url}", proxy: "http://127.0.0.1:${port}", ${quick} }
    output: { type: collect }
  - input: { type: generate, count: 1, context: out }
    output: { type: websocket, url: "${server.url}", proxy: "http://127.0.0.1:${port}", ${quick} }
`);
    expect(await run.output().count(1)).toEqual(['through']);
    await tool.line(new RegExp(`CONNECT 127\\.0\\.0\\.1:${server.port} HTTP/1\\.1`));
    await until('what the output sends', () => server.peers.some((peer) => peer.texts.includes('out')));
  });

  test('credentials are sent; wrong ones are logged, and shown nowhere', async () => {
    const server = await feed();
    const { port } = await tinyproxy('BasicAuth ann s3cret');
    const wrong = await startEngine(
      input(`url: "${server.url}", proxy: "http://ann:wr0ng@127.0.0.1:${port}"`),
    );
    const line = await wrong.logged(/^input failed to connect/);
    expect(line.msg).toMatch(
      /cannot connect to ws:\/\/[^ ]*\/feed: through the proxy http:\/\/ann:\*\*\*@127\.0\.0\.1:\d+: the proxy answered 40[17] .*/,
    );
    expect(JSON.stringify(wrong.log)).not.toContain('wr0ng');
    const run = await startEngine(
      input(`url: "${server.url}", proxy: "http://ann:s3cret@127.0.0.1:${port}"`),
    );
    expect(await run.output().count(1)).toEqual(['through']);
  });

  test('a target that it cannot reach', async () => {
    const { port } = await tinyproxy();
    const target = await freePort();
    const run = await startEngine(
      input(`url: "ws://127.0.0.1:${target}/", proxy: "http://127.0.0.1:${port}"`),
    );
    await run.logged(/through the proxy http:\/\/127\.0\.0\.1:\d+: the proxy answered 50\d /);
  });
});

describe('microsocks', () => {
  test.each(['socks5', 'socks5h'])('%s: an input goes through it, by address and by name', async (scheme) => {
    const server = await feed();
    const port = await microsocks();
    for (const host of ['127.0.0.1', 'localhost']) {
      const run = await startEngine(
        input(`url: "ws://${host}:${server.port}/feed", proxy: "${scheme}://127.0.0.1:${port}"`),
      );
      expect(await run.output().count(1)).toEqual(['through']);
    }
  });

  test('credentials are sent; wrong ones are logged, and shown nowhere', async () => {
    const server = await feed();
    const port = await microsocks('-u', 'ann', '-P', 's3c@ret');
    const wrong = await startEngine(
      input(`url: "${server.url}", proxy: "socks5://ann:wr0ng@127.0.0.1:${port}"`),
    );
    await wrong.logged(
      /through the proxy socks5:\/\/ann:\*\*\*@127\.0\.0\.1:\d+: Socks5 Authentication failed/,
    );
    const none = await startEngine(input(`url: "${server.url}", proxy: "socks5://127.0.0.1:${port}"`));
    await none.logged(/through the proxy socks5:\/\/127\.0\.0\.1:\d+: /);
    expect(JSON.stringify(wrong.log) + JSON.stringify(none.log)).not.toContain('wr0ng');
    const run = await startEngine(
      input(`url: "${server.url}", proxy: "socks5://ann:s3c%40ret@127.0.0.1:${port}"`),
    );
    expect(await run.output().count(1)).toEqual(['through']);
  });

  test('a target that it cannot reach, and an unknown name', async () => {
    const port = await microsocks();
    const target = await freePort();
    const run = await startEngine(
      input(`url: "ws://127.0.0.1:${target}/", proxy: "socks5h://127.0.0.1:${port}"`),
    );
    await run.logged(/through the proxy socks5h:\/\/[^ ]*: Socks5 proxy rejected connection/);
    const unknown = await startEngine(
      input(`url: "ws://no-such.invalid/", proxy: "socks5h://127.0.0.1:${port}"`),
    );
    await unknown.logged(/through the proxy socks5h:\/\/[^ ]*: Socks5 proxy rejected connection/);
    const here = await startEngine(
      input(`url: "ws://no-such.invalid/", proxy: "socks5://127.0.0.1:${port}"`),
    );
    await here.logged(/through the proxy socks5:\/\/[^ ]*: getaddrinfo /);
  });
});

test('socks4a has names resolved at the proxy', async () => {
  const server = await feed();
  const asked: Buffer[] = [];
  const port = await listen(
    createServer((socket) => {
      socket.once('data', (request: Buffer) => {
        asked.push(request);
        const target = connect({ host: '127.0.0.1', port: request.readUInt16BE(2) });
        target.once('connect', () => {
          socket.write(Buffer.from([0, 0x5a, 0, 0, 0, 0, 0, 0]));
          socket.pipe(target).pipe(socket);
        });
        target.on('error', () => {});
        socket.on('close', () => target.destroy());
      });
    }),
  );
  const run = await startEngine(
    input(`url: "ws://feed.example:${server.port}/feed", proxy: "socks4a://127.0.0.1:${port}"`),
  );
  expect(await run.output().count(1)).toEqual(['through']);
  expect(asked[0]!.toString('latin1')).toContain('feed.example\0');
  expect(server.peers[0]!.header('host')).toBe(`feed.example:${server.port}`);
});

describe('TLS', () => {
  test('wss goes through http and socks proxies, and the certificate is still the server’s', async () => {
    const secure = createHttpsServer({ key: pem('server-key'), cert: pem('server') });
    new WebSocketServer({ server: secure }).on('connection', (socket) => socket.send('secure'));
    const target = await listen(secure);
    const proxy = await new ConnectProxy().up();
    const ca = new URL('../control/fixtures/ca.pem', import.meta.url).pathname;
    for (const through of [`http://127.0.0.1:${proxy.port}`, `socks5h://127.0.0.1:${await microsocks()}`]) {
      const url = `url: "wss://localhost:${target}/", proxy: "${through}", tls: { ca_file: "${ca}" }`;
      const run = await startEngine(input(url));
      expect(await run.output().count(1)).toEqual(['secure']);
    }
    const other = await startEngine(
      input(
        `url: "wss://other.example:${target}/", proxy: "http://127.0.0.1:${proxy.port}", tls: { ca_file: "${ca}" }`,
      ),
    );
    await other.logged(/Hostname\/IP does not match certificate's altnames: Host: other\.example/);
  });

  test('the proxy itself may speak TLS', async () => {
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, pem('ca')]);
    afterTest(() => setDefaultCACertificates(before));
    const server = await feed();
    const proxy = await new ConnectProxy().up(true);
    const run = await startEngine(
      input(
        `url: "ws://feed.example:${server.port}/feed", proxy: "https://a%20b:c%3Ad@localhost:${proxy.port}"`,
      ),
    );
    expect(await run.output().count(1)).toEqual(['through']);
    const [request] = proxy.requests;
    expect(request!.url).toBe(`feed.example:${server.port}`);
    expect(request!.headers['proxy-authorization']).toBe(
      `Basic ${Buffer.from('a b:c:d').toString('base64')}`,
    );
  });
});

describe('the environment', () => {
  const url = (server: FaultServer): string => `url: "ws://feed.example:${server.port}/feed"`;

  test.each(['http_proxy', 'HTTP_PROXY', 'ws_proxy', 'ALL_PROXY'])(
    '%s names the proxy of ws://',
    async (name) => {
      const server = await feed();
      const proxy = await new ConnectProxy().up();
      const run = await startEngine(input(url(server)), { [name]: `127.0.0.1:${proxy.port}` });
      expect(await run.output().count(1)).toEqual(['through']);
      expect(proxy.requests[0]!.url).toBe(`feed.example:${server.port}`);
    },
  );

  test('HTTPS_PROXY is for wss:// alone', async () => {
    const proxy = await new ConnectProxy().up();
    const env = { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` };
    const port = await freePort();
    const secure = await startEngine(input(`url: "wss://feed.invalid:${port}/"`), env);
    await secure.logged(/^input failed to connect/);
    await until('the request', () => proxy.requests.length > 0);
    const plain = await startEngine(input(`url: "ws://plain.invalid:${port}/"`), env);
    await plain.logged(/getaddrinfo \S+ plain\.invalid/);
    expect(proxy.requests.every((request) => request.url!.startsWith('feed.invalid:'))).toBe(true);
  });

  test.each([
    ['NO_PROXY', { NO_PROXY: 'other.example, .example' }, ''],
    ['`proxy: none`', {}, ', proxy: none'],
  ])('%s does not go through it', async (_, more, fields) => {
    const proxy = await new ConnectProxy().up();
    const env = { ALL_PROXY: `http://127.0.0.1:${proxy.port}`, ...more };
    const run = await startEngine(input(`url: "ws://no-such.sub.example:1/"${fields}`), env);
    await run.logged(/cannot connect to ws:\/\/no-such\.sub\.example:1\/: getaddrinfo/);
    expect(proxy.requests).toHaveLength(0);
  });

  test('addresses of this machine do not go through it', async () => {
    const server = await feed();
    const run = await startEngine(input(`url: "${server.url}"`), { ALL_PROXY: 'http://no-such.invalid:1' });
    expect(await run.output().count(1)).toEqual(['through']);
  });

  test('a value that is not a proxy is reported without the value', async () => {
    const server = await feed();
    const run = await startEngine(input(url(server)), { HTTP_PROXY: 'ftp://ann:s3cret@h' });
    await run.logged(/the environment variable HTTP_PROXY does not hold a proxy; expected a URL like/);
    expect(JSON.stringify(run.log)).not.toContain('s3cret');
  });
});

test('the token endpoint of `auth` is reached through the proxy as well', async () => {
  const endpoint = await new TokenEndpoint().up();
  const server = await feed();
  const proxy = await new ConnectProxy().up();
  const tokenUrl = endpoint.url.replace('127.0.0.1', 'login.example');
  const run = await startEngine(
    input(
      `url: "ws://feed.example:${server.port}/", proxy: "http://127.0.0.1:${proxy.port}", auth: { type: oauth2, token_url: "${tokenUrl}", client_id: a, client_secret: b }`,
    ),
  );
  expect(await run.output().count(1)).toEqual(['through']);
  expect(proxy.requests.map(({ url }) => url!.split(':')[0])).toEqual(['login.example', 'feed.example']);
  expect(server.peers[0]!.header('authorization')).toBe('Bearer token-1');
});

describe('a proxy that', () => {
  test.each([
    [
      'wants credentials',
      'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n',
      /: the proxy answered 407 Proxy Authentication Required; it wants other credentials in its URL$/,
    ],
    [
      'repeats its credentials',
      `HTTP/1.1 407 not pr0xy nor ${Buffer.from('ann:pr0xy').toString('base64')}\r\n\r\n`,
      /: the proxy answered 407 not \*\*\* nor \*\*\*; it wants other credentials in its URL$/,
    ],
    [
      'cannot reach the server',
      'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nhello',
      /: the proxy answered 502 Bad Gateway$/,
    ],
    [
      'redirects',
      'HTTP/1.1 302 Found\r\nLocation: ws://feed.example/\r\n\r\n',
      /: the proxy answered 302 Found$/,
    ],
    ['asks to wait', 'HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\n\r\n', /: the proxy answered 503 Busy$/],
    ['hangs up', '', /: socket hang up$/],
    ['is none', 'SSH-2.0-OpenSSH_9.9\r\n', /: Parse Error: Expected HTTP/],
  ])('%s: the log says so, nothing else is sent to it, and it is tried again', async (_, answer, said) => {
    const seen: string[] = [];
    const port = await listen(
      createServer((socket) => {
        socket.on('data', (chunk) => seen.push(chunk.toString('latin1')));
        socket.once('data', () => void socket.end(answer));
      }),
    );
    const run = await startEngine(
      input(
        `url: "ws://feed.example/", headers: { X-Key: s3cret }, proxy: "http://ann:pr0xy@127.0.0.1:${port}"`,
      ),
    );
    const line = await run.logged(/^input failed to connect/);
    expect(line.msg).toMatch(said);
    expect(line.msg).toContain(
      `cannot connect to ws://feed.example/: through the proxy http://ann:***@127.0.0.1:${port}: `,
    );
    expect(line['retry_in_ms']).toBeLessThan(10);
    await until('another attempt', () => seen.length >= 2);
    expect(seen.join('')).not.toContain('s3cret');
    expect(JSON.stringify(run.log)).not.toMatch(/pr0xy|s3cret/);
  });

  test.each(['http', 'socks5h', 'socks4a'])(
    'hangs is abandoned after `timeout`, and cut (%s)',
    async (scheme) => {
      const sockets: Socket[] = [];
      const port = await listen(
        createServer((socket) => void sockets.push(socket.on('error', () => {}).resume())),
      );
      const run = await startEngine(
        input(`url: "ws://feed.example/", timeout: 100ms, proxy: "${scheme}://127.0.0.1:${port}"`),
      );
      await run.logged(/cannot connect to ws:\/\/feed\.example\/: no answer within 0\.1 s$/);
      await until(
        'the end of the connection',
        () => sockets[0]?.readableEnded === true || sockets[0]?.destroyed === true,
      );
    },
  );

  test.each(['http', 'socks5'])('hangs does not hold up a stop (%s)', async (scheme) => {
    const sockets: Socket[] = [];
    const port = await listen(
      createServer((socket) => void sockets.push(socket.on('error', () => {}).resume())),
    );
    const run = await startEngine(
      input(`url: "ws://feed.example/", timeout: 1h, proxy: "${scheme}://127.0.0.1:${port}"`),
    );
    await until('a connection', () => sockets.length > 0);
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    await until('its end', () => sockets[0]!.readableEnded || sockets[0]!.destroyed);
  });

  test.each(['http', 'socks5'])('is down, or has an unknown name (%s)', async (scheme) => {
    const port = await freePort();
    const down = await startEngine(input(`url: "ws://h.example/", proxy: "${scheme}://127.0.0.1:${port}"`));
    await down.logged(/through the proxy \w+:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED/);
    const unknown = await startEngine(
      input(`url: "ws://h.example/", proxy: "${scheme}://no-such.invalid:3128"`),
    );
    await unknown.logged(/through the proxy \w+:\/\/no-such\.invalid:3128: getaddrinfo \S+ no-such\.invalid/);
  });
});

test.each(['ftp://h', 'h:3128', 'http://', 'http://a:%zz@h', 'yes'])('proxy: %s is a mistake', (proxy) => {
  const mistakes = configMistakes(input(`url: "ws://h/", proxy: "${proxy}"`)).join('\n');
  expect(mistakes).toMatch(/\.proxy: .*is not a proxy; expected a URL like /);
});
