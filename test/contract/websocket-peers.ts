import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { Fields, Peer } from '../../src/testing-api.ts';
import { freePort } from '../support/peers.ts';
import { until } from '../support/until.ts';

/** A server of the library `ws`, for a component that connects. */
export class ServerPeer implements Peer {
  readonly #texts: string[] = [];
  readonly #sockets = new Set<Socket>();
  #clients: WebSocket[] = [];
  #server: Server | undefined;
  #port = 0;
  #frozen = false;

  async start(): Promise<Fields> {
    this.#texts.length = 0;
    this.#port = 0;
    this.#frozen = false;
    await this.restart();
    return { url: `ws://127.0.0.1:${this.#port}/feed` };
  }

  async restart(): Promise<void> {
    const server = createServer();
    const webSockets = new WebSocketServer({ noServer: true });
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('upgrade', (request, socket, head) => {
      socket.on('error', () => {});
      if (this.#frozen) return;
      webSockets.handleUpgrade(request, socket, head, (client) => this.#connected(client));
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    this.#clients = [];
  }

  async connected(): Promise<void> {
    await until('a client', () => this.#clients.length > 0);
  }

  freeze(): void {
    this.#frozen = true;
    for (const client of this.#clients) client.pause();
  }

  push(messages: readonly string[]): void {
    for (const message of messages) this.#clients.at(-1)!.send(message);
  }

  arrived(): readonly string[] {
    return this.#texts;
  }

  #connected(client: WebSocket): void {
    this.#clients.push(client);
    client.on('error', () => {});
    client.on('message', (data) => this.#texts.push((data as Buffer).toString()));
    client.on('close', () => (this.#clients = this.#clients.filter((each) => each !== client)));
  }
}

/** A client of the library `ws`, for a component that listens. */
export class ClientPeer implements Peer {
  readonly #path: string;
  readonly #texts: string[] = [];
  #client: WebSocket | undefined;
  #port = 0;

  constructor(path: string) {
    this.#path = path;
  }

  async start(): Promise<Fields> {
    this.#texts.length = 0;
    this.#port = await freePort();
    return { host: '127.0.0.1', port: this.#port };
  }

  async stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined || client.readyState === WebSocket.CLOSED) return;
    const closed = once(client, 'close');
    client.terminate();
    await closed;
  }

  /** It connects when it is asked whether it is connected. */
  restart(): void {}

  async connected(): Promise<void> {
    await until('a connection', async () => {
      const client = new WebSocket(`ws://127.0.0.1:${this.#port}${this.#path}`);
      client.on('message', (data) => this.received((data as Buffer).toString()));
      const open = await new Promise<boolean>((resolve) => {
        client.once('open', () => resolve(true));
        client.on('error', () => resolve(false));
      });
      if (open) this.#client = client;
      return open;
    });
  }

  freeze(): void {
    this.#client?.pause();
  }

  push(messages: readonly string[]): void {
    for (const message of messages) this.#client!.send(message);
  }

  arrived(): readonly string[] {
    return this.#texts;
  }

  protected received(text: string): void {
    this.#texts.push(text);
  }
}

/** A client of a server that stands in the file beside the component. The server tells it the id of its session first. */
export class SessionPeer extends ClientPeer {
  readonly #path: string;
  #where: Fields = {};
  #session: string | undefined;

  constructor(path: string) {
    super(path);
    this.#path = path;
  }

  override async start(): Promise<Fields> {
    this.#where = await super.start();
    return {};
  }

  beside = (): Fields[] => [
    {
      id: 'server',
      input: {
        type: 'websocket',
        mode: 'server',
        path: this.#path,
        welcome: '{{meta:session_id}}',
        ...this.#where,
      },
      output: { type: 'drop' },
    },
  ];

  override async connected(): Promise<void> {
    this.#session = undefined;
    await super.connected();
    await until('the id of the session', () => this.#session !== undefined);
  }

  ext(): Record<string, string> {
    return this.#session === undefined ? {} : { session_id: this.#session };
  }

  protected override received(text: string): void {
    if (this.#session === undefined) this.#session = text;
    else super.received(text);
  }
}

/** One that stands inside another component: `around` puts the fields that say where it is into those of that one. */
export function inside(peer: Peer, around: (fields: Fields) => Fields): Peer {
  return {
    start: async () => around((await peer.start()) ?? {}),
    stop: () => peer.stop(),
    restart: () => peer.restart?.(),
    connected: () => peer.connected?.(),
    push: (messages) => peer.push?.(messages),
    ...(peer.arrived && { arrived: () => peer.arrived!() }),
    freeze: () => peer.freeze?.(),
  };
}
