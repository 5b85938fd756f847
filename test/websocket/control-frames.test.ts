import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { answerPings } from '../../src/websocket/control-frames.ts';
import { frame } from '../support/frames.ts';
import { afterTest, rawUpgrade } from '../support/peers.ts';
import { until } from '../support/until.ts';

test('a pong that waits keeps nothing of what its ping was read with', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', autoPong: false });
  afterTest(() => server.close());
  await once(server, 'listening');
  const kept: number[] = [];
  server.on('connection', (socket: WebSocket) => {
    const pong = socket.pong.bind(socket);
    socket.pong = ((data: Buffer, mask: boolean | undefined, written: () => void) => {
      kept.push(data.buffer.byteLength);
      pong(data, mask, written);
    }) as WebSocket['pong'];
    answerPings(socket);
  });
  const peer = await rawUpgrade(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const ping = frame('ping', 'x'.repeat(125), { mask: true });
  peer.socket.write(Buffer.concat(Array.from({ length: 100 }, () => ping)));
  await until('all that are answered', () => kept.length >= 32);
  expect(new Set(kept)).toEqual(new Set([125]));
});
