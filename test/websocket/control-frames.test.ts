import { EventEmitter, once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { expect, test, vi } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { answerPings, limitControlFrames } from '../../src/websocket/control-frames.ts';
import { Session } from '../../src/websocket/session.ts';
import { afterTest } from '../support/cleanup.ts';
import { frame } from '../support/frames.ts';
import { rawUpgrade } from '../support/peers.ts';
import { until } from '../support/until.ts';

test('a waiting pong does not keep the buffer that its ping was read into', async () => {
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

test('a peer that floods pings again and again leaves nothing behind on its socket', () => {
  vi.useFakeTimers();
  afterTest(() => void vi.useRealTimers());
  const socket = Object.assign(new EventEmitter(), { pause: () => {}, resume: () => {} });
  const session = new Session(socket as unknown as WebSocket, {} as Socket, 'test', {});
  limitControlFrames(session);
  for (let round = 0; round < 20; round++) {
    for (let ping = 0; ping < 8192; ping++) socket.emit('ping');
    expect(session.held).toBe(true);
    vi.advanceTimersByTime(8192);
    expect(session.held).toBe(false);
  }
  expect(socket.listenerCount('close')).toBe(1);
  socket.emit('close');
  expect(vi.getTimerCount()).toBe(0);
});
