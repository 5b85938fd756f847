import { connect, type Socket } from 'node:net';
import { closeFrame, pongFrame } from './messages.ts';

const PING = 0x89;

/**
 * Opens a WebSocket by hand: the work of a client library for each message would be measured with the server. Answers
 * pings, and throws everything else away.
 */
export function openConnection(port: number, localAddress: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true });
    let answer = '';
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.write(
        'GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
      );
    });
    const greet = (data: Buffer): void => {
      answer += data.toString('latin1');
      if (!answer.includes('\r\n\r\n')) return;
      socket.off('data', greet);
      if (!answer.startsWith('HTTP/1.1 101 '))
        return reject(new Error(`not upgraded: ${answer.split('\r\n')[0]}`));
      socket.on('data', (frame: Buffer) => {
        if (frame[0] === PING) socket.write(pongFrame);
      });
      resolve(socket);
    };
    socket.on('data', greet);
  });
}

/** Opens many connections, some at a time, from several addresses, so that there are enough ports. */
export async function openConnections(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(100, count - sockets.length) }, (_, index) =>
      openConnection(port, `127.0.0.${2 + Math.floor((sockets.length + index) / 5000)}`),
    );
    sockets.push(...(await Promise.all(some)));
  }
  return sockets;
}

/** Closes as a client should, so that the server has no reason to warn. */
export async function closeConnections(sockets: readonly Socket[]): Promise<void> {
  await Promise.all(
    sockets.map(
      (socket) =>
        new Promise((resolve) => {
          socket.once('close', resolve);
          socket.end(closeFrame);
        }),
    ),
  );
}
