import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { freePort } from '../support/peers.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { TokenEndpoint, giveToken } from '../support/token-endpoint.ts';
import { python, requireAbility } from '../support/tools.ts';
import { until } from '../support/until.ts';

const quick = 'reconnect: { initial: 1ms, max: 20ms }';

/** A server on one address that says which it is. */
async function serverAt(host: string, port: number): Promise<WebSocketServer> {
  const server = new WebSocketServer({ host, port });
  server.on('connection', (socket, request) => socket.send(`${host} asked as ${request.headers.host}`));
  afterTest(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  await once(server, 'listening');
  return server;
}

/** Runs a file with a hosts file of its own, which only this process sees. `seen` waits for a text in its output. */
function runWithHosts(hosts: string, config: string) {
  const script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"';
  const node = [process.execPath, '--dns-result-order=ipv4first', program('millrace'), 'run', config];
  requireAbility('user namespaces (unshare)');
  const child = spawn('unshare', ['--map-root-user', '--mount', 'sh', '-c', script, 'sh', hosts, ...node], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  afterTest(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const seen = (what: string): Promise<boolean> =>
    until(what, () => output.includes(what), { timeout: 30_000, state: () => log.slice(-2000) });
  return { seen };
}

test('IPv6: an address in brackets is connected to, in the URL and in the metadata', async () => {
  const server = python(`
import asyncio
async def handler(ws):
    await ws.send(ws.request.headers["Host"])
    await ws.wait_closed()
async def main():
    async with websockets.serve(handler, "::1", 0) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`);
  const port = (await server.line(/^port /)).slice('port '.length);
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://[::1]:${port}/feed", ${quick} }
    output: { type: collect }
`);
  expect(await run.output().count(1)).toEqual([`[::1]:${port}`]);
  const { source, ext } = run.output().messages[0]!;
  expect(source).toBe(`ws://[::1]:${port}/feed`);
  expect(ext['remote_address']).toBe('::1');
});

test('a name with an IPv6 and an IPv4 address, of which only one answers', async () => {
  const server = await serverAt('127.0.0.1', 0);
  const { port } = server.address() as AddressInfo;
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://localhost:${port}/", ${quick} }
    output: { type: collect }
`);
  expect(await run.output().count(1)).toEqual([`127.0.0.1 asked as localhost:${port}`]);
});

test('an unknown name is logged', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://no-such-host.invalid/", ${quick} }
    output: { type: collect }
`);
  await run.logged(
    /cannot connect to ws:\/\/no-such-host\.invalid\/: getaddrinfo \S+ no-such-host\.invalid$/,
  );
});

test('a name whose address changes is looked up at each attempt', async () => {
  const port = await freePort();
  const first = await serverAt('127.0.0.2', port);
  await serverAt('127.0.0.3', port);
  const dir = tempDir();
  const hosts = dir.file('hosts', '127.0.0.2 feed.test\n');
  const config = dir.file(
    'stream.yaml',
    `health_check: { enabled: false }
streams:
  - input: { type: websocket, url: "ws://feed.test:${port}/", ${quick} }
`,
  );
  const { seen } = runWithHosts(hosts, config);
  await seen(`127.0.0.2 asked as feed.test:${port}`);
  writeFileSync(hosts, '127.0.0.3 feed.test\n');
  for (const socket of first.clients) socket.terminate();
  await seen(`127.0.0.3 asked as feed.test:${port}`);
});

test('a distant server is waited for, though its name has another address that does not work', async () => {
  // Its queue is full, so that the first packet of a connection is lost, and the next comes a second later.
  const server = python(`
import asyncio, select, socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(0)
port = listener.getsockname()[1]
fillers = []
while True:
    filler = socket.socket()
    filler.setblocking(False)
    filler.connect_ex(("127.0.0.1", port))
    fillers.append(filler)
    if not select.select([], [filler], [], 0.5)[1]:
        break
print("port", port)
async def handler(ws):
    await ws.send("from far away")
    await ws.wait_closed()
async def main():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    # Longer than Node itself gives an address.
    await asyncio.sleep(0.4)
    async with websockets.serve(handler, sock=listener):
        await asyncio.Future()
asyncio.run(main())
`);
  const port = (await server.line(/^port /)).slice('port '.length);
  // The message right before the connection marks its beginning.
  const tokens = await new TokenEndpoint().up();
  tokens.answer = (response) => {
    giveToken(response, 'token');
    server.child.stdin!.write('go\n');
  };
  const dir = tempDir();
  const config = dir.file(
    'stream.yaml',
    `health_check: { enabled: false }
streams:
  - input:
      type: websocket
      url: "ws://feed.test:${port}/"
      auth: { type: oauth2, token_url: "${tokens.url}", client_id: app, client_secret: secret }
      timeout: 60s
      reconnect: { max_attempts: 1 }
`,
  );
  const { seen } = runWithHosts(dir.file('hosts', '127.0.0.1 feed.test\n::1 feed.test\n'), config);
  await seen('from far away');
});

test('a server that takes the connection and says nothing is given up after `timeout`', async () => {
  const server = createServer((socket) => void socket.on('error', () => {}).resume());
  server.listen(0, '::1');
  afterTest(() => void server.close());
  await once(server, 'listening');
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://[::1]:${(server.address() as AddressInfo).port}/", timeout: 50ms, ${quick} }
    output: { type: collect }
`);
  await run.logged(/cannot connect to ws:\/\/\[::1\]:\d+\/: no answer within 0\.05 s$/);
});
