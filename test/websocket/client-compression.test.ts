import { deflateRawSync } from 'node:zlib';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocketServer, type PerMessageDeflateOptions, type WebSocket } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, connectClient } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const quick = 'reconnect: { initial: 1ms, max: 5ms }';
const input = (url: string, fields: string): string => `
streams:
  - input: { type: websocket, url: "${url}", ${fields}, ${quick} }
    output: { type: collect }
`;

/** A server of the library `ws` that compresses; `connected` gets each connection. */
async function compressing(
  connected: (socket: WebSocket) => void,
  options: PerMessageDeflateOptions = {},
): Promise<WebSocketServer> {
  const perMessageDeflate = { threshold: 0, ...options };
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });
  server.on('connection', connected);
  afterTest(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  await once(server, 'listening');
  return server;
}
const urlOf = (server: WebSocketServer): string =>
  `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;

test.each([
  ['not at all by default', 'max_message_size: 1MiB', undefined],
  [
    'without context by default',
    'compression: true',
    /^permessage-deflate; server_no_context_takeover; client_no_context_takeover(; client_max_window_bits)?$/,
  ],
  [
    'with context where it is asked for',
    'compression: { context_takeover: true }',
    /^permessage-deflate; client_max_window_bits$/,
  ],
])('it is offered %s', async (_, fields, offer) => {
  const server = await new FaultServer().up();
  await startEngine(input(server.url, fields));
  const offered = (await server.peer(0)).header('sec-websocket-extensions');
  if (offer === undefined) expect(offered).toBeUndefined();
  else expect(offered).toMatch(offer);
});

test('a server that wants no context has none, even if a client asks for it', async () => {
  const server = await compressing((socket) => socket.send('x'.repeat(5000)), {
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
  });
  const run = await startEngine(input(urlOf(server), 'compression: { context_takeover: true }'));
  expect(await run.output().count(1)).toEqual(['x'.repeat(5000)]);
  expect([...server.clients].map(({ extensions }) => extensions)).toEqual(['permessage-deflate']);
});

test.each(['compression: true', 'compression: { context_takeover: true }'])(
  'Python’s websockets compresses in both directions, with %s',
  async (fields) => {
    const server = python(`
import asyncio
async def handler(ws):
    print("extensions", [type(e).__name__ for e in ws.extensions])
    if ws.request.path == "/feed":
        for n in range(50):
            await ws.send("%d %s" % (n, "x" * 5000))
        await ws.send(b"\\x00" * 5000)
    try:
        async for message in ws:
            print("got", len(message), message[:3])
    except websockets.ConnectionClosed:
        pass
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, compression="deflate") as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`);
    const port = (await server.line(/^port /)).slice('port '.length);
    const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://127.0.0.1:${port}/feed", ${fields}, ${quick} }
    output: { type: websocket, url: "ws://127.0.0.1:${port}/sink", ${fields}, ${quick} }
  - input: { type: websocket, url: "ws://127.0.0.1:${port}/feed", ${fields}, ${quick} }
    output: { type: collect }
`);
    await server.line(/^got 5000 b/);
    const texts = Array.from({ length: 50 }, (_, n) => `${n} ${'x'.repeat(5000)}`);
    expect((await run.output().count(51)).slice(0, 50)).toEqual(texts);
    expect(server.lines.filter((line) => line.startsWith('extensions'))).toEqual(
      Array.from({ length: 3 }, () => "extensions ['PerMessageDeflate']"),
    );
    expect(server.lines.filter((line) => line.startsWith('got'))).toHaveLength(51);
  },
);

test('messages shorter than `threshold` go out as they are', async () => {
  const frames: { size: number; compressed: boolean }[] = [];
  const server = await compressing((socket) => {
    // The bytes on the wire, before they are inflated.
    const { _socket: wire } = socket as unknown as { _socket: NodeJS.EventEmitter };
    wire.prependListener('data', (chunk: Buffer) => {
      if ((chunk[0]! & 0x0f) === 1) frames.push({ size: chunk.length, compressed: (chunk[0]! & 0x40) !== 0 });
    });
  });
  const sender = (context: string): string => `
  - input: { type: generate, count: 1, context: "${context}" }
    output: { type: websocket, url: "${urlOf(server)}", compression: { threshold: 100 } }
`;
  const run = await startEngine(`streams:${sender('short')}${sender('long'.repeat(1000))}`);
  await run.ended;
  const byLength = frames.toSorted((a, b) => a.size - b.size);
  expect(byLength.map(({ compressed }) => compressed)).toEqual([false, true]);
  expect(byLength[1]!.size).toBeLessThan(200);
});

test.each([
  ['with context', 'context_takeover: true', ''],
  ['where the server does not promise to do without context', 'context_takeover: false', ''],
  ['where it does', 'context_takeover: false', '; client_no_context_takeover'],
])('`threshold` holds %s, and context only where it is asked for', async (_, field, answered) => {
  const server = await new FaultServer((peer) => {
    const extension = `Sec-WebSocket-Extensions: permessage-deflate${answered}\r\n`;
    peer.accept({ headers: extension });
  }).up();
  const text = 'something long enough '.repeat(8);
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: websocket, url: "${server.url}", compression: { threshold: 100, ${field} } }
`);
  const { socket } = await connectClient(await run.url());
  for (const message of ['short', text, 'again', text]) socket.send(message);
  const peer = await server.peer(0);
  await until('four messages', () => peer.messages.length === 4);
  const [short, first, again, second] = peer.messages;
  expect(peer.messages.map(({ compressed = false }) => compressed)).toEqual([false, true, false, true]);
  expect([short, again].map((message) => message!.payload.toString())).toEqual(['short', 'again']);
  // With context the second is little more than a reference to the first.
  const asFirst = second!.payload.equals(first!.payload);
  expect(asFirst).toBe(field === 'context_takeover: false');
});

test('a message that inflates to more than `max_message_size` closes with 1009; the next connection goes on', async () => {
  const codes: number[] = [];
  const server = await compressing((socket) => {
    socket.on('close', (code) => codes.push(code));
    if (codes.length === 0) socket.send(Buffer.alloc(8 * 1024 * 1024));
    else socket.send('x'.repeat(1024 * 1024));
  });
  const run = await startEngine(input(urlOf(server), 'compression: true, max_message_size: 1MiB'));
  expect((await run.output().count(1))[0]).toHaveLength(1024 * 1024);
  expect(codes).toEqual([1009]);
  await run.logged(
    /^input lost its connection: closed the connection to .* with 1009: Max payload size exceeded$/,
  );
});

test('compressed frames of a server that was not offered any are a violation', async () => {
  const deflated = deflateRawSync('hello');
  const compressed = frame('text', deflated);
  compressed[0]! |= 0x40;
  const server = await new FaultServer((peer) => {
    peer.accept({ then: compressed });
    void peer.closeCode().then(
      () => peer.socket.end(),
      () => {},
    );
  }).up();
  await startEngine(input(server.url, 'compression: false'));
  expect(await (await server.peer(0)).closeCode()).toBe(1002);
});
