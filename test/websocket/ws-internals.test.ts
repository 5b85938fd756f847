import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { DEFLATE, deflateOf, extensions } from '../../src/websocket/ws-internals.ts';
import { afterTest } from '../support/cleanup.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

/** Both ends of a connection between two sockets of `ws`. */
async function pair(perMessageDeflate: boolean): Promise<{ client: WebSocket; server: WebSocket }> {
  const listener = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: { threshold: 0 } });
  afterTest(() => {
    for (const socket of listener.clients) socket.terminate();
    listener.close();
  });
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const connected = once(listener, 'connection') as Promise<[WebSocket]>;
  const client = new WebSocket(`ws://127.0.0.1:${port}`, {
    perMessageDeflate: perMessageDeflate && { threshold: 0 },
  });
  await once(client, 'open');
  const [server] = await connected;
  return { client, server };
}

const body = (): string => 'a message that can be compressed '.repeat(20);

test('ws is the version that package.json pins, and that is one version', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: { ws: string } };
  const { version } = JSON.parse(read('node_modules/ws/package.json')) as { version: string };
  expect(dependencies.ws).toBe(version);
});

test('nothing else reaches into ws', () => {
  const files = globSync('src/**/*.ts', { cwd: root }).filter((file) => !file.endsWith('ws-internals.ts'));
  expect(files.length).toBeGreaterThan(200);
  const privateParts =
    /\b_(?:extensions|socket|receiver|sender|isServer|paused|req|closeTimer|closeFrame\w*|errorEmitted|readyState)\b|from 'ws\/|import \* as ws|PerMessageDeflate\b/;
  expect(files.filter((file) => privateParts.test(read(file)))).toEqual([]);
});

test('the receiver of a socket inflates each message through its decompress', async () => {
  const { client, server } = await pair(true);
  const deflate = deflateOf(server)!;
  const decompress = deflate.decompress.bind(deflate);
  const seen: number[] = [];
  deflate.decompress = (data, fin, callback) => {
    seen.push(data.length);
    decompress(data, fin, callback);
  };
  const received = once(server, 'message');
  client.send(body());
  expect(String((await received)[0])).toBe(body());
  expect(seen).toEqual([expect.any(Number)]);
  expect(seen[0]).toBeLessThan(body().length);
});

test('a client whose params say so compresses each message by itself', async () => {
  const { client, server } = await pair(true);
  const sizes: number[] = [];
  const deflate = deflateOf(server)!;
  const decompress = deflate.decompress.bind(deflate);
  deflate.decompress = (data, fin, callback) => {
    sizes.push(data.length);
    decompress(data, fin, callback);
  };
  const count = async (): Promise<void> => {
    const received = once(server, 'message');
    client.send(body());
    await received;
  };
  // With context the second one is told from the first.
  await count();
  await count();
  expect(sizes[1]).toBeLessThan(sizes[0]!);
  deflateOf(client)!.params.client_no_context_takeover = true;
  await count();
  await count();
  await count();
  expect(sizes[4]).toBe(sizes[3]);
  expect(sizes[4]).toBe(sizes[0]);
});

test('a socket that does not compress has none', async () => {
  const { client, server } = await pair(false);
  expect([deflateOf(client), deflateOf(server)]).toEqual([undefined, undefined]);
});

test('a ws that keeps it elsewhere is an error, and no connection whose messages inflate without bound', () => {
  const moved = { extensions: DEFLATE } as WebSocket;
  expect(() => deflateOf(moved)).toThrow('this version of ws does not keep permessage-deflate');
  const renamed = { extensions: DEFLATE, _extensions: { [DEFLATE]: { params: {} } } } as unknown as WebSocket;
  expect(() => deflateOf(renamed)).toThrow('install the version that package.json pins');
});

test('offers of extensions are read and written', () => {
  const offers = extensions.parse('permessage-deflate; client_max_window_bits, x; y=1');
  expect(offers).toMatchObject({ [DEFLATE]: [{ client_max_window_bits: [true] }], x: [{ y: ['1'] }] });
  expect(extensions.format({ [DEFLATE]: offers[DEFLATE]! })).toBe(
    'permessage-deflate; client_max_window_bits',
  );
});
