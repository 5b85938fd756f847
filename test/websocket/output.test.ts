import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { closeFrame, opcodes } from '../support/frames.ts';
import { FaultServer, connectClient, send } from '../support/peers.ts';
import { until } from '../support/until.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../control/fixtures/${name}.pem`, import.meta.url));
const quick = 'reconnect: { initial: 1ms, max: 5ms }';

/** From a WebSocket server input to a WebSocket output. */
const relay = (url: string, fields = quick, input = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${input} }
    output: { type: websocket, url: "${url}", ${fields} }
`;

const outputConnected = (run: Run) => run.logged(/^output \S+ connected$/);

describe('sent messages', () => {
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
    await peer.count(5);
    expect(peer.messages.map(({ opcode, payload }) => [opcode, payload.toString('latin1')])).toEqual([
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
    await peer.count(1);
    expect(peer.messages[0]).toEqual({ opcode: opcodes.text, payload: Buffer.from('{"a":1}') });
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
  expect(peer.texts).toEqual(messages);
});

test('messages of the server are not used, and do no harm', async () => {
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
