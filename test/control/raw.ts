import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

/** A client that sends bytes unchanged and keeps the answers. */
export class RawClient {
  readonly socket: Socket;
  /** Everything received so far, as Latin-1. */
  received = '';
  /** Resolves when the connection is gone, with everything that came before. */
  readonly closed: Promise<string>;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (this.received += chunk));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => socket.once('close', () => resolve(this.received)));
  }

  /** Resolves when the received text matches. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.received)) {
      if (this.socket.destroyed) throw new Error(`closed before ${String(pattern)}: ${this.received}`);
      await Promise.race([once(this.socket, 'data'), this.closed]);
    }
    return this.received;
  }
}

/** With `allowHalfOpen` it does not close when the server does. */
export async function rawClient(port: number, host = '127.0.0.1', allowHalfOpen = false): Promise<RawClient> {
  const socket = connect({ port, host, allowHalfOpen });
  await once(socket, 'connect');
  return new RawClient(socket);
}

/** Sends one request and returns everything until the server closes. */
export async function exchange(port: number, request: string, host?: string): Promise<string> {
  const client = await rawClient(port, host);
  client.socket.write(request, 'latin1');
  return client.closed;
}

export function upgradeRequest(
  path: string,
  headers = 'Upgrade: websocket\r\nConnection: Upgrade\r\n',
): string {
  return (
    `GET ${path} HTTP/1.1\r\nHost: test\r\n${headers}` +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
  );
}
