import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { closeFrame, opcodes, type ReadFrame } from '../support/frames.ts';
import {
  FaultServer,
  afterTest,
  connectClient,
  freePort,
  rawUpgrade,
  send,
  type RawPeer,
} from '../support/peers.ts';
import { until } from '../support/until.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../http/fixtures/${name}.pem`, import.meta.url));
const quick = 'reconnect: { initial: 1ms, max: 5ms }';

/** From a WebSocket server input to a WebSocket output. */
const relay = (url: string, fields = quick, input = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${input} }
    output: { type: websocket, url: "${url}", ${fields} }
`;

const data = (peer: RawPeer): ReadFrame[] =>
  peer.frames.filter(({ opcode }) => opcode === opcodes.text || opcode === opcodes.binary);
const texts = (peer: RawPeer): string[] => data(peer).map(({ payload }) => payload.toString());
const gets = (peer: RawPeer, count: number): Promise<boolean> =>
  until(`${count} messages`, () => data(peer).length >= count, { state: () => `${data(peer).length} came` });
const outputConnected = (run: Run) => run.logged(/^output connected$/);

describe('what is sent', () => {
  test('text goes out as text and binary as binary, byte for byte, empty messages too', async () => {
    const hub = await new FaultServer().up();
    const run = await startEngine(relay(hub.url));
    const utf8 = Buffer.from('binary, though it is UTF-8');
    await send(
      await connectClient(await run.url()),
      'grüße',
      utf8,
      '',
      Buffer.from([0xff, 0x00]),
      Buffer.alloc(0),
    );
    const peer = await hub.peer(0);
    await gets(peer, 5);
    expect(data(peer).map(({ opcode, payload }) => [opcode, payload.toString('latin1')])).toEqual([
      [opcodes.text, Buffer.from('grüße').toString('latin1')],
      [opcodes.binary, utf8.toString('latin1')],
      [opcodes.text, ''],
      [opcodes.binary, '\xff\x00'],
      [opcodes.binary, ''],
    ]);
  });

  test('JSON and rows of SQL go out as text, also where they came in as binary', async () => {
    const hub = await new FaultServer().up();
    const run = await startEngine(relay(hub.url, quick, 'codec: { type: json }'));
    await send(await connectClient(await run.url()), Buffer.from('{"a":1}'));
    const peer = await hub.peer(0);
    await gets(peer, 1);
    expect(data(peer)[0]).toEqual({ opcode: opcodes.text, payload: Buffer.from('{"a":1}') });
  });

  test('headers and subprotocols, with every attempt', async () => {
    let attempts = 0;
    const hub = await new FaultServer((peer) => {
      if (++attempts === 1) peer.socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n');
      else peer.accept({ protocol: 'v1' });
    }).up();
    const yaml = relay(
      hub.url,
      `${quick}, protocols: [v2, v1], headers: { Authorization: "Bearer \${TOKEN}", Host: hub }`,
    );
    const run = await startEngine(yaml, { TOKEN: 'abc' });
    await outputConnected(run);
    for (const peer of hub.peers) {
      expect(peer.header('authorization')).toBe('Bearer abc');
      expect(peer.header('host')).toBe('hub');
      expect(peer.header('sec-websocket-protocol')).toBe('v2,v1');
    }
    expect(hub.peers).toHaveLength(2);
    expect((await run.logged(/^output failed to connect/)).msg).toContain('the server answered 503');
    expect(JSON.stringify(run.log)).not.toContain('abc');
  });

  test('over TLS, with an authority and a certificate of its own', async () => {
    const pem = (name: string): Buffer => readFileSync(fixture(name));
    const https = createServer({
      cert: pem('server'),
      key: pem('server-key'),
      ca: pem('ca'),
      requestCert: true,
    });
    const hub = new WebSocketServer({ server: https });
    const received: string[] = [];
    hub.on('connection', (socket) =>
      socket.on('message', (message) => received.push((message as Buffer).toString())),
    );
    https.listen(0, '127.0.0.1');
    await once(https, 'listening');
    afterTest(() => {
      for (const socket of hub.clients) socket.terminate();
      https.close();
    });
    const tls = `tls: { ca_file: "${fixture('ca')}", cert_file: "${fixture('client')}", key_file: "${fixture('client-key')}" }`;
    const run = await startEngine(
      relay(`wss://localhost:${(https.address() as AddressInfo).port}`, `${quick}, ${tls}`),
    );
    await send(await connectClient(await run.url()), 'sealed');
    await until('the message', () => received.length === 1);
    expect(received).toEqual(['sealed']);
  });
});

describe('when the server fails', () => {
  test('it is connected to once it is there; what came before waits and is sent in order', async () => {
    const hub = new FaultServer();
    hub.port = await freePort();
    const run = await startEngine(relay(hub.url));
    await run.logged(/^output failed to connect: .*ECONNREFUSED/);
    await send(await connectClient(await run.url()), 'one', 'two', 'three');
    expect((await run.http('/readiness')).text).toContain('output websocket is not connected');
    await hub.up();
    const peer = await hub.peer(0);
    await gets(peer, 3);
    expect(texts(peer)).toEqual(['one', 'two', 'three']);
  });

  test('killed in the middle of a batch: the whole batch is sent again, and nothing is missing', async () => {
    // A server that does not read, so that the batch is stuck half-way.
    const hub = await new FaultServer((peer) => void peer.accept().socket.pause()).up();
    const run = await startEngine(relay(hub.url, quick, 'max_message_size: 32MiB'));
    await outputConnected(run);
    const big = 'x'.repeat(16 * 1024 * 1024);
    await send(await connectClient(await run.url()), 'first', big, 'last');
    await until('the batch to be in flight', async () => (await run.inFlight()).messages >= 2);
    hub.behaviour = (peer) => void peer.accept();
    (await hub.peer(0)).socket.resetAndDestroy();
    const second = await hub.peer(1);
    await until('the last message', () => texts(second).includes('last'));
    const all = texts(second);
    expect(all.at(-1)).toBe('last');
    expect(all.at(-2)).toBe(big);
    await run.idle();
    await run.metricIs(1, 'millrace_reconnects_total', 'stage="output"');
    expect((await run.logged(/^output lost its connection/)).msg).toMatch(
      /(cannot send to|the connection to) ws:\/\//,
    );
  });

  test('a server that restarts while messages flow: only what was on the wire when it died can be missing', async () => {
    const hub = await new FaultServer().up();
    const run = await startEngine(relay(hub.url));
    const client = await connectClient(await run.url());
    const total = 3000;
    for (let number = 0; number < total; number++) {
      await send(client, String(number));
      if (number % 1000 !== 500) continue;
      await run.idle();
      await until('all of it to be read', () =>
        hub.peers.some((peer) => texts(peer).at(-1) === String(number)),
      );
      await hub.down();
      await hub.up();
    }
    await run.idle();
    await until('the last', () => texts(hub.peers.at(-1)!).at(-1) === String(total - 1));
    const got = new Set(hub.peers.flatMap(texts));
    const missing = Array.from({ length: total }, (_, number) => number).filter(
      (number) => !got.has(String(number)),
    );
    // WebSocket has no acknowledgement: what was written while the server died may be gone, but only around a death.
    expect(missing.every((number) => number % 1000 > 500 && number % 1000 < 600)).toBe(true);
  });

  test('its close code and reason are in the log and the metrics', async () => {
    const hub = await new FaultServer(
      (peer) => void peer.accept({ then: closeFrame(1013, 'try later') }),
    ).up();
    const run = await startEngine(relay(hub.url));
    const line = await run.logged(/^connection closed with 1013$/);
    expect(line).toMatchObject({ reason: 'try later', stage: 'output', url: hub.url });
    await run.metricIs(1, 'millrace_connections_closed_total', 'stage="output"', 'code="1013"');
  });

  test('when `reconnect.attempts` have failed in a row, the stream fails and says what was left', async () => {
    const run = await startEngine(
      relay(`ws://127.0.0.1:${await freePort()}`, 'reconnect: { initial: 50ms, max: 50ms, attempts: 4 }'),
    );
    await send(await connectClient(await run.url()), 'one');
    const outcome = await run.ended;
    expect(outcome).toEqual({ failed: ['stream-0'], left: ['stream-0: 1 message(s) not confirmed'] });
    expect(await run.logged(/^stream failed/)).toMatchObject({ code: 'MILLRACE_RECONNECT_EXHAUSTED' });
  });
});

describe('keepalive', () => {
  const fast = `${quick}, ping_interval: 50ms, ping_timeout: 100ms`;

  test('a server that goes deaf is found; the next batch goes to a new connection', async () => {
    const hub = await new FaultServer().up();
    const run = await startEngine(relay(hub.url, fast));
    await (await hub.peer(0)).gone();
    await send(await connectClient(await run.url()), 'hello');
    const second = await hub.peer(1);
    await gets(second, 1);
    expect(texts(second)).toEqual(['hello']);
  });

  test('a server that does not read for a while is busy, not dead: one connection, and each message once', async () => {
    const hub = await new FaultServer((peer) => void peer.accept().socket.pause()).up();
    const run = await startEngine(relay(hub.url, fast, 'max_message_size: 32MiB'));
    await outputConnected(run);
    const big = 'x'.repeat(16 * 1024 * 1024);
    await send(await connectClient(await run.url()), big, 'last');
    // Meanwhile a deaf peer of the same patience is found five times over.
    const clock = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ping_interval: 50ms, ping_timeout: 100ms }
    output: { type: drop }
`);
    for (let found = 0; found < 5; found++) await (await rawUpgrade(await clock.url())).gone();
    const peer = await hub.peer(0);
    peer.socket.resume();
    await gets(peer, 2);
    expect(texts(peer)).toEqual([big, 'last']);
    expect(hub.peers).toHaveLength(1);
  });
});

test('a stop sends everything, then closes with 1000', async () => {
  const hub = await new FaultServer().up();
  const run = await startEngine(relay(hub.url));
  const client = await connectClient(await run.url());
  const messages = Array.from({ length: 5000 }, (_, number) => String(number));
  hub.behaviour = () => {};
  const peer = await hub.peer(0);
  const answer = setInterval(() => {
    if (peer.frames.some(({ opcode }) => opcode === opcodes.close)) peer.socket.end(closeFrame(1000));
  }, 5);
  afterTest(() => clearInterval(answer));
  await send(client, ...messages);
  expect(await run.stop()).toEqual({ failed: [], left: [] });
  expect(await peer.closeCode()).toBe(1000);
  expect(texts(peer)).toEqual(messages);
});

test('what the server sends is not used, and does no harm', async () => {
  const hub = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  afterTest(() => {
    for (const socket of hub.clients) socket.terminate();
    hub.close();
  });
  await once(hub, 'listening');
  const received: string[] = [];
  hub.on('connection', (socket) => {
    socket.on('message', (message) => {
      received.push((message as Buffer).toString());
      socket.send(message);
    });
  });
  const run = await startEngine(relay(`ws://127.0.0.1:${(hub.address() as AddressInfo).port}`));
  await send(await connectClient(await run.url()), 'a', 'b');
  await until('both', () => received.length === 2);
  expect(await run.metric('millrace_input_messages_total')).toBe(2);
});

test.each([
  ['no url', 'type: websocket', 'url'],
  ['a url of another scheme', 'type: websocket, url: "http://h"', 'url'],
  ['tls with ws://', 'type: websocket, url: "ws://h", tls: { ca_file: a }', 'tls'],
])('a mistake in the file: %s', (_, output, field) => {
  const mistakes = configMistakes(
    `- input: { type: generate, context: x, interval: 1s }\n  output: { ${output} }\n`,
  );
  expect(mistakes).toHaveLength(1);
  expect(mistakes[0]).toContain(`output.${field}`);
});
