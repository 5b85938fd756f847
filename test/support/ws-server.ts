import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { afterTest } from './cleanup.ts';
import { type Closed } from './peers.ts';
import { until } from './until.ts';

/** One connection of a `WsServer`. */
export interface Accepted {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
  readonly messages: Buffer[];
  /** Undefined while it is open. */
  closed: Closed | undefined;
}

/** A server of the library `ws` that keeps its messages. It ends after the test. */
export class WsServer {
  readonly connections: Accepted[] = [];
  readonly #server: WebSocketServer;

  constructor(
    server: WebSocketServer,
    answer: (socket: WebSocket, message: Buffer, binary: boolean) => void,
  ) {
    this.#server = server;
    server.on('connection', (socket, request) => {
      const connection: Accepted = { socket, request, messages: [], closed: undefined };
      this.connections.push(connection);
      socket.on('error', () => {});
      socket.on('message', (data, binary) => {
        connection.messages.push(data as Buffer);
        answer(socket, data as Buffer, binary);
      });
      socket.on('close', (code, reason) => (connection.closed = { code, reason: reason.toString() }));
    });
    afterTest(() => this.down());
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/feed`;
  }

  /** The texts that came on all connections, in order. */
  get texts(): string[] {
    return this.connections.flatMap(({ messages }) => messages.map((message) => message.toString()));
  }

  /** Resolves with the connection of that number, from 0. */
  async connection(index = 0): Promise<Accepted> {
    return await until(`connection number ${index}`, () => this.connections[index]);
  }

  async count(count: number): Promise<string[]> {
    await until(`${count} messages`, () => this.texts.length >= count);
    return this.texts;
  }

  /** Resolves with how the connection has ended. */
  async closed(index = 0): Promise<Closed> {
    return await until('the end of the connection', () => this.connections[index]?.closed);
  }

  /** Cuts every connection and stops listening, as a killed process does. */
  down(): void {
    for (const { socket } of this.connections) socket.terminate();
    this.#server.close();
  }
}

/** Listens on `port`, by default a free one; `answer` is called for each message. */
export async function wsServer(
  answer: (socket: WebSocket, message: Buffer, binary: boolean) => void = () => {},
  port = 0,
): Promise<WsServer> {
  const server = new WebSocketServer({ port, host: '127.0.0.1', perMessageDeflate: false });
  await once(server, 'listening');
  return new WsServer(server, answer);
}
