import { describe, expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer } from '../support/peers.ts';

const client = (fields: string): string => `
streams:
  - input: { type: websocket, ${fields} }
    output: { type: collect }
`;
const quick = 'reconnect: { initial: 1ms, max: 5ms }';

describe('“Act as WebSocket client, connect to a WebSocket server”', () => {
  test('is the default, at the path and query of its url', async () => {
    const server = await new FaultServer().up();
    const run = await startEngine(client(`url: "ws://127.0.0.1:${server.port}/a/b?c=d&e"`));
    const peer = await server.peer(0);
    expect(peer.target).toBe('/a/b?c=d&e');
    peer.socket.write(frame('text', 'hello'));
    expect(await run.output().count(1)).toEqual(['hello']);
  });

  test('is also `mode: client`, and a url without a path asks for /', async () => {
    const server = await new FaultServer().up();
    await startEngine(client(`mode: client, url: "ws://127.0.0.1:${server.port}"`));
    expect((await server.peer(0)).target).toBe('/');
  });

  test('is ready while it is connected, and says why while it is not', async () => {
    const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'x') })).up();
    const run = await startEngine(client(`url: "${server.url}", ${quick}`));
    await run.output().count(1);
    expect((await run.http('/readiness')).status).toBe(200);
    await server.down();
    await run.logged(/^input failed to connect: .*ECONNREFUSED/);
    const { status, text } = await run.http('/readiness');
    expect(status).toBe(503);
    expect(text).toContain('input websocket is not connected');
  });

  test('credentials of the url are sent, and shown nowhere', async () => {
    const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'x') })).up();
    const url = `ws://ann:s3cret@127.0.0.1:${server.port}/feed?token=t0ken&city=Bern`;
    const run = await startEngine(client(`url: "${url}", ${quick}`));
    await run.output().count(1);
    const sent = Buffer.from('ann:s3cret').toString('base64');
    expect(server.peers[0]!.header('authorization')).toBe(`Basic ${sent}`);
    expect(server.peers[0]!.target).toBe('/feed?token=t0ken&city=Bern');
    expect(run.output().messages[0]!.source).toBe(
      `ws://ann:***@127.0.0.1:${server.port}/feed?token=***&city=Bern`,
    );
    await server.down();
    await run.logged(/^input failed to connect/);
    const everything =
      JSON.stringify(run.log) + (await run.http('/metrics')).text + (await run.http('/readiness')).text;
    expect(everything).not.toMatch(/s3cret|t0ken/);
  });
});

describe('“Additional headers to include in the WebSocket handshake”', () => {
  test('are sent with every attempt: refused ones, and after the connection was lost', async () => {
    let attempts = 0;
    const server = await new FaultServer((peer) => {
      attempts++;
      if (attempts === 1) peer.socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n');
      else if (attempts === 2) peer.accept().socket.resetAndDestroy();
      else peer.accept({ then: frame('text', 'at last') });
    }).up();
    const yaml = client(
      `url: "${server.url}", headers: { Authorization: "Bearer \${TOKEN}", X-Client: millrace }, ${quick}`,
    );
    const run = await startEngine(yaml, { TOKEN: 's3cr3t-token' });
    expect(await run.output().count(1)).toEqual(['at last']);
    expect(server.peers.map((peer) => [peer.header('authorization'), peer.header('x-client')])).toEqual(
      Array.from({ length: 3 }, () => ['Bearer s3cr3t-token', 'millrace']),
    );
    expect(JSON.stringify(run.log)).not.toContain('s3cr3t-token');
  });

  test('can replace Host, which is the url’s otherwise', async () => {
    const server = await new FaultServer().up();
    await startEngine(client(`url: "${server.url}", headers: { Host: feed.example.com }`));
    expect((await server.peer(0)).header('host')).toBe('feed.example.com');
    await startEngine(client(`url: "${server.url}"`));
    expect((await server.peer(1)).header('host')).toBe(`127.0.0.1:${server.port}`);
  });

  test('none are sent unless given, and no extension is offered', async () => {
    const server = await new FaultServer().up();
    await startEngine(client(`url: "${server.url}"`));
    const peer = await server.peer(0);
    const names = peer.head
      .split('\r\n')
      .slice(1)
      .map((line) => line.split(':')[0]!.toLowerCase());
    expect(names.toSorted()).toEqual([
      'connection',
      'host',
      'sec-websocket-key',
      'sec-websocket-version',
      'upgrade',
    ]);
  });
});

describe('timeout', () => {
  test.each([
    ['a bare number is seconds', '0.2'],
    ['with a unit', '200ms'],
  ])(
    'a server that never answers the handshake: the attempt ends within it and is repeated (%s)',
    async (_, timeout) => {
      const server = await new FaultServer(() => {}).up();
      const mute = await new FaultServer(() => {}).up();
      // The clock: of two others, one has long given up by then, and one has not.
      const other = (limit: string): string =>
        `  - { id: "${limit}", input: { type: websocket, url: "${mute.url}", timeout: ${limit} }, output: { type: drop } }\n`;
      const run = await startEngine(
        client(`url: "${server.url}", timeout: ${timeout}, ${quick}`) + other('20ms') + other('30s'),
      );
      await server.peer(0);
      server.behaviour = (peer) => void peer.accept({ then: frame('text', 'awake') });
      expect(await run.output().count(1)).toEqual(['awake']);
      const failures = run.log.filter(({ msg }) => msg.startsWith('input failed to connect'));
      expect([...new Set(failures.map(({ stream }) => stream))]).toEqual(['20ms', 'stream-0']);
      await run.logged(
        /^input failed to connect: cannot connect to ws:\/\/[^ ]*\/feed: no answer within 0\.2 s$/,
      );
      await server.peers[0]!.gone();
    },
  );

  test('a server that answers one byte at a time does not get more of it', async () => {
    const server = await new FaultServer((peer) => {
      const answer = `HTTP/1.1 101 Switching Protocols\r\n${'X-Slow: 1\r\n'.repeat(1000)}`;
      let at = 0;
      const drip = setInterval(() => peer.socket.write(answer[at++]!), 10);
      peer.socket.once('close', () => clearInterval(drip));
    }).up();
    const run = await startEngine(client(`url: "${server.url}", timeout: 200ms, ${quick}`));
    await server.peer(0);
    server.behaviour = (peer) => void peer.accept();
    await run.connected();
    await run.logged(/no answer within 0\.2 s$/);
  });
});

describe('a server that refuses', () => {
  test.each([
    ['with a status', 'HTTP/1.1 401 Unauthorized\r\n\r\n', 'the server answered 401 Unauthorized'],
    [
      'with a redirect',
      'HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n',
      'the server answered 302 Found',
    ],
    ['with 200, because it speaks only HTTP', 'HTTP/1.1 200 OK\r\n\r\n', 'the server answered 200 OK'],
    [
      'with a wrong key',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n',
      'Invalid Sec-WebSocket-Accept header',
    ],
    ['by closing', '', 'ended the connection instead of answering'],
    ['with what is no HTTP', 'SSH-2.0-OpenSSH_9.9\r\n', 'Expected HTTP/'],
  ])('%s: the log says so, and it is tried again', async (_, answer, said) => {
    const server = await new FaultServer((peer) => void peer.socket.end(answer)).up();
    const run = await startEngine(client(`url: "${server.url}", ${quick}`));
    const line = await run.logged(/^input failed to connect/);
    expect(line.msg).toContain(said);
    expect(line.code).toBe('MILLRACE_NOT_CONNECTED');
    server.behaviour = (peer) => void peer.accept();
    await run.connected();
  });
});

describe('protocols', () => {
  test('are offered in order; the one that the server picks is in the metadata', async () => {
    const server = await new FaultServer((peer) => {
      peer.accept({ protocol: 'v1.json', then: frame('text', 'x') });
    }).up();
    const run = await startEngine(client(`url: "${server.url}", protocols: [v2.json, v1.json]`));
    await run.output().count(1);
    expect(server.peers[0]!.header('sec-websocket-protocol')).toBe('v2.json,v1.json');
    expect(run.output().messages[0]!.ext['protocol']).toBe('v1.json');
  });

  test.each([
    ['picks none of them', undefined, 'Server sent no subprotocol'],
    ['picks another', 'v9', 'Server sent an invalid subprotocol'],
  ])('a server that %s is not connected to', async (_, protocol, said) => {
    const server = await new FaultServer((peer) => {
      peer.accept(protocol === undefined ? {} : { protocol });
    }).up();
    const run = await startEngine(client(`url: "${server.url}", protocols: [v1], ${quick}`));
    expect((await run.logged(/^input failed to connect/)).msg).toContain(said);
  });
});
