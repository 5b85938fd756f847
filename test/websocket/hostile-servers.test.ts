import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { beforeAll, describe, expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { rawFrame } from '../support/hostile-frames.ts';
import { FaultServer, freePort, type Behaviour, type RawPeer } from '../support/peers.ts';
import { pour } from '../support/pour.ts';
import { until } from '../support/until.ts';
import { MIB, serverYaml, victims, whileOthersWork, type Victim } from '../support/victim.ts';

const quick = 'timeout: 500ms, reconnect: { initial: 1ms, max: 5ms }';
const client = (url: string, fields = ''): string => `
streams:
  - input: { type: websocket, url: "${url}", ${quick}, ${fields} }
    output: { type: collect }
`;

const { start } = victims();

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Answers 101 with more headers; `accept` in place of the right key. */
const answer = (peer: RawPeer, headers = '', accept?: string): string => {
  const key = peer.header('sec-websocket-key') ?? '';
  const right = createHash('sha1').update(`${key}${MAGIC}`).digest('base64');
  const line = accept === '' ? '' : `Sec-WebSocket-Accept: ${accept ?? right}\r\n`;
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${line}${headers}\r\n`;
};
const extension = (value: string): Behaviour => {
  return (peer) => void peer.socket.write(answer(peer, `Sec-WebSocket-Extensions: ${value}\r\n`));
};

describe('a handshake is abandoned, and repeated, with a server that', () => {
  test.each<[string, Behaviour, RegExp, string?]>([
    [
      'sends no Accept',
      (peer) => void peer.socket.write(answer(peer, '', '')),
      /Invalid Sec-WebSocket-Accept/,
    ],
    [
      'sends somebody else’s Accept',
      (peer) => void peer.socket.write(answer(peer, '', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')),
      /Invalid Sec-WebSocket-Accept/,
    ],
    [
      'upgrades to something else',
      (peer) => void peer.socket.write(answer(peer).replace('Upgrade: websocket', 'Upgrade: h2c')),
      /Invalid Upgrade header/,
    ],
    ['picks a subprotocol unasked', (peer) => void peer.accept({ protocol: 'v1' }), /subprotocol/],
    ['compresses unasked', extension('permessage-deflate'), /no extension was requested/],
    ['answers with an extension that nobody knows', extension('x-foo'), /extension/, 'compression: true'],
    ...['7', '16', '0', '-1', '15.5', 'x', '""'].map((bits): [string, Behaviour, RegExp, string] => [
      `wants ${bits} window bits`,
      extension(`permessage-deflate; server_max_window_bits=${bits}`),
      /Sec-WebSocket-Extensions/,
      'compression: true',
    ]),
    [
      'answers with the extension twice',
      extension('permessage-deflate; server_max_window_bits=10; server_max_window_bits=11'),
      /Sec-WebSocket-Extensions/,
      'compression: true',
    ],
    ['answers garbage', (peer) => void peer.socket.end(Buffer.alloc(10_000, 0xfe)), /cannot connect/],
    ['answers a frame', (peer) => void peer.socket.end(frame('text', 'hello')), /cannot connect/],
    ['resets instead', (peer) => void peer.socket.resetAndDestroy(), /ECONNRESET|ended the connection/],
    [
      'ends in the middle of the 101',
      (peer) => void peer.socket.end(answer(peer).slice(0, -8)),
      /cannot connect/,
    ],
    [
      'answers with 20 KiB of headers',
      (peer) => void peer.socket.write(answer(peer, `X: ${'x'.repeat(20_000)}\r\n`)),
      /[Hh]eader/,
    ],
  ])('%s', async (_, behaviour, reason, fields = '') => {
    const server = await new FaultServer(behaviour).up();
    const run = await startEngine(client(server.url, fields));
    const line = await run.logged(/^input failed to connect/);
    expect(line.msg).toMatch(reason);
    expect(line.code).toBe('MILLRACE_NOT_CONNECTED');
    // The connection that came to nothing is let go.
    await (await server.peer(0)).gone();
    server.behaviour = (peer) => void peer.accept({ then: frame('text', 'well') });
    expect(await run.output().count(1)).toEqual(['well']);
  });

  const tls: [string, (socket: Socket) => void][] = [
    ['answers TLS with garbage', (socket) => void socket.end(Buffer.alloc(1000, 0x16))],
    [
      'closes in the middle of the TLS handshake',
      (socket) => void socket.end(Buffer.from([22, 3, 3, 0, 122, 2])),
    ],
    ['resets in the middle of it', (socket) => void socket.once('data', () => socket.resetAndDestroy())],
    ['accepts and says nothing', () => {}],
    [
      'announces a record and sends none of it',
      (socket) => void socket.write(Buffer.from([22, 3, 3, 0x40, 0])),
    ],
  ];
  test.each(tls)('%s (wss)', async (_, greet) => {
    const seen: Socket[] = [];
    const server = createServer((socket) => {
      seen.push(socket);
      socket.on('error', () => {}).on('data', () => {});
      greet(socket);
    }).listen(0, '127.0.0.1');
    afterTest(() => {
      for (const socket of seen) socket.destroy();
      server.close();
    });
    await once(server, 'listening');
    const run = await startEngine(client(`wss://127.0.0.1:${(server.address() as AddressInfo).port}/`));
    const line = await run.logged(/^input failed to connect/);
    expect(line).toMatchObject({ code: 'MILLRACE_NOT_CONNECTED' });
    await run.logged(/^input failed to connect/, (each) => each !== line);
    expect(seen.length).toBeGreaterThanOrEqual(2);
  });
});

test('1xx answers before the 101 are passed over', async () => {
  const server = await new FaultServer((peer) => {
    peer.socket.write('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n');
    peer.accept({ then: frame('text', 'at last') });
  }).up();
  const run = await startEngine(client(server.url));
  expect(await run.output().count(1)).toEqual(['at last']);
});

test.each([1, 2, 3, 4, 7])('a frame in the packet of the 101, cut after %i bytes, is whole', async (cut) => {
  const bytes = frame('text', 'x'.repeat(200));
  const server = await new FaultServer((peer) => {
    peer.accept({ then: bytes.subarray(0, cut) });
    setImmediate(() => peer.socket.write(bytes.subarray(cut)));
  }).up();
  const run = await startEngine(client(server.url));
  expect(await run.output().count(1)).toEqual(['x'.repeat(200)]);
});

test.each<[string, number, Buffer]>([
  ['masked frames', 1002, frame('text', 'x', { mask: true })],
  ['reserved bits', 1002, rawFrame({ first: 0xf1, masked: false })],
  ['a deflated frame unasked', 1002, rawFrame({ first: 0xc1, masked: false, payload: Buffer.from('x') })],
  ['a control frame too long', 1002, frame('ping', 'x'.repeat(200))],
  [
    'a length with the top bit',
    1009,
    rawFrame({ first: 0x82, masked: false, length: 2n ** 63n, lengthBytes: 8 }),
  ],
  ['a close of one byte', 1002, frame('close', 'x')],
])('a server that sends %s is left with %i, and connected to again', async (_, code, bytes) => {
  const server = await new FaultServer((peer) => void peer.accept({ then: bytes })).up();
  const run = await startEngine(client(server.url));
  expect(await (await server.peer(0)).closeCode()).toBe(code);
  server.behaviour = (peer) => void peer.accept({ then: frame('text', 'well') });
  server.peers[0]!.socket.end();
  expect(await run.output().count(1)).toEqual(['well']);
  await run.logged(new RegExp(`^connection closed with ${code}`));
});

test('a server that sends nothing but pings, 200 to a packet, keeps its connection and gets answers', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, 'ping_interval: 50ms, ping_timeout: 100ms'));
  const peer = await server.peer(0);
  await run.connected();
  const pings = Array.from({ length: 200 }, (__, number) => frame('ping', String(number)));
  for (let round = 1; round <= 20; round++) {
    peer.socket.write(Buffer.concat(pings));
    const answered = () => peer.frames.filter(({ payload }) => payload.toString() === '199').length >= round;
    await until('the last pong', answered);
  }
  peer.socket.write(frame('text', 'data'));
  expect(await run.output().count(1)).toEqual(['data']);
  expect(server.peers).toHaveLength(1);
});

test.each([
  ['a header', 'headers: { X-A: "a\\r\\nX-Injected: b" }'],
  ['a header’s name', 'headers: { "X-A\\r\\nX-Injected": b }'],
  ['a header, as a NUL', 'headers: { X-A: "a\\0b" }'],
  ['a subprotocol', 'protocols: ["a\\r\\nX-Injected: b"]'],
])('a line break in %s is refused with the configuration', (_, fields) => {
  expect(configMistakes(client('ws://127.0.0.1:1/', fields))).not.toEqual([]);
});

test('a line break from the environment that is filled into a header sends nothing, and says which', async () => {
  const server = await new FaultServer().up();
  const env = { TOKEN: 'secret\r\nX-Injected: b' };
  const run = await startEngine(client(server.url, 'headers: { X-A: "{{env:TOKEN}}" }'), env);
  const line = await run.logged(/^input failed to connect/);
  expect(line.msg).toContain('headers.X-A');
  expect(line.msg).not.toContain('secret');
  expect(server.peers).toEqual([]);
});

describe('memory stays bounded, and the other stream works, with a server that', () => {
  let server: FaultServer;
  let victim: Victim;
  beforeAll(async () => {
    server = new FaultServer();
    victim = await start(`${serverYaml()}
  - input: { type: websocket, url: "ws://127.0.0.1:${(server.port = await freePort())}/", ${quick} }
    output: { type: drop }
`);
  });

  test.each<[string, string, string]>([
    ['answers headers without end', 'HTTP/1.1 101 Switching Protocols\r\n', `X: ${'x'.repeat(1000)}\r\n`],
    ['answers a body without end', 'HTTP/1.1 401 Unauthorized\r\n\r\n', 'x'.repeat(65_536)],
    ['redirects with a body without end', 'HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n', 'x'.repeat(65_536)],
    ['answers 103 without end', '', `HTTP/1.1 103 Early Hints\r\nX: ${'x'.repeat(1000)}\r\n\r\n`],
  ])('%s', async (_, begin, rest) => {
    const over = Promise.withResolvers<void>();
    server.behaviour = (peer) => {
      peer.socket.write(begin);
      void pour(peer.socket, Buffer.from(rest), over.promise);
    };
    const before = server.peers.length;
    await server.up();
    const growth = await whileOthersWork(victim, async (others) => {
      await others.messages(150);
      await server.peer(before + 3);
    });
    over.resolve();
    await server.down();
    expect(growth).toBeLessThan(256 * MIB);
  });
});
