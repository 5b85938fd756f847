import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { WebSocket, type ClientOptions } from 'ws';
import { afterTest } from './cleanup.ts';
import { closeCodeOf, opcodes, readFrames, type ReadFrame } from './frames.ts';
import { until } from './until.ts';

/** How a connection ended, seen from a client. */
export interface Closed {
  readonly code: number;
  readonly reason: string;
}

/** An open `ws` client; `closed` tells how it ends. */
export interface Client {
  readonly socket: WebSocket;
  readonly closed: Promise<Closed>;
}

/** Connects with the library `ws`. @throws Error with the HTTP status when the server refuses */
export async function connectClient(
  url: string,
  options: ClientOptions & { protocols?: string[] } = {},
): Promise<Client> {
  const socket = new WebSocket(url, options.protocols ?? [], { perMessageDeflate: false, ...options });
  afterTest(() => socket.terminate());
  const closed = new Promise<Closed>((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await once(socket, 'open');
  socket.on('error', () => {});
  return { socket, closed };
}

/** Sends and resolves when the last byte is with the kernel. */
export async function send(client: Client, ...messages: (string | Uint8Array)[]): Promise<void> {
  await Promise.all(
    messages.map(
      (message) =>
        new Promise<void>((resolve, reject) => {
          client.socket.send(message, (error) => (error == null ? resolve() : reject(error)));
        }),
    ),
  );
}

/** A TCP connection on which a handshake was done by hand; nothing is answered unless the test does. */
export class RawPeer {
  readonly socket: Socket;
  /** The HTTP part of what came, without the empty line. */
  readonly head: string;
  readonly #frames: ReadFrame[] = [];
  #unread: Buffer[];

  constructor(socket: Socket, head: string, rest: Buffer) {
    this.socket = socket;
    this.head = head;
    this.#unread = [rest];
    socket.on('data', (chunk: Buffer) => this.#unread.push(chunk));
    socket.on('error', () => {});
  }

  /** The whole frames that came so far. */
  get frames(): readonly ReadFrame[] {
    if (this.#unread.length > 1 || this.#frames.length === 0) {
      const { frames, rest } = readFrames(Buffer.concat(this.#unread));
      this.#frames.push(...frames);
      this.#unread = [rest];
    }
    return this.#frames;
  }

  /** The messages that came so far: a frame each, for our outputs don't fragment. */
  get messages(): readonly ReadFrame[] {
    return this.frames.filter(({ opcode }) => opcode === opcodes.text || opcode === opcodes.binary);
  }

  get texts(): string[] {
    return this.messages.map(({ payload }) => payload.toString());
  }

  /** Resolves with the texts of the messages when there are `count`. */
  async count(count: number): Promise<string[]> {
    await until(`${count} messages`, () => this.messages.length >= count, {
      state: () => `${this.messages.length} came`,
    });
    return this.texts;
  }

  get pings(): number {
    return this.frames.filter(({ opcode }) => opcode === opcodes.ping).length;
  }

  /** The value of a header of the handshake; its name is compared without case. */
  header(name: string): string | undefined {
    const line = this.head
      .split('\r\n')
      .find((each) => each.toLowerCase().startsWith(`${name.toLowerCase()}:`));
    return line?.slice(name.length + 1).trim();
  }

  /** The request's target, where this is a server's connection. */
  get target(): string {
    return this.head.split(' ')[1] ?? '';
  }

  /** Resolves with the code of the close frame that the other side sends. */
  async closeCode(): Promise<number> {
    return await until('a close frame', () => closeCodeOf(this.frames));
  }

  /** Hangs up once the other side has sent a close frame, so that it need not wait for an answer. */
  endsOnClose(): this {
    void this.closeCode().then(
      () => this.socket.end(),
      () => {},
    );
    return this;
  }

  /** Resolves when the other side has ended the TCP connection. */
  async gone(): Promise<void> {
    await until('the end of the TCP connection', () => this.socket.destroyed || this.socket.readableEnded);
  }

  /** Answers the handshake. `headers` are whole lines; `then` goes out in the same packet. */
  accept(options: { protocol?: string; headers?: string; then?: Uint8Array } = {}): this {
    const key = this.header('sec-websocket-key') ?? '';
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    const protocol = options.protocol === undefined ? '' : `Sec-WebSocket-Protocol: ${options.protocol}\r\n`;
    const answer = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${protocol}${options.headers ?? ''}\r\n`;
    this.socket.write(Buffer.concat([Buffer.from(answer), options.then ?? Buffer.alloc(0)]));
    return this;
  }
}

/** Opens a WebSocket by hand, as a client. */
export async function rawUpgrade(url: string, headers: Record<string, string> = {}): Promise<RawPeer> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  afterTest(() => socket.destroy());
  await once(socket, 'connect');
  return await upgradeOn(socket, url, headers);
}

/** Does the handshake on a connection that is open. */
export async function upgradeOn(
  socket: Socket,
  url: string,
  headers: Record<string, string> = {},
): Promise<RawPeer> {
  const { host, pathname, search } = new URL(url);
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(
    `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more.join('')}\r\n`,
  );
  return await readHead(socket);
}

/** The treatment of a connection once a server has the request. */
export type Behaviour = (peer: RawPeer) => void;

/** A server that speaks TCP and lets the test decide the rest. It can go down and come up again on its port. */
export class FaultServer {
  /** Every connection whose request came, in order. */
  readonly peers: RawPeer[] = [];
  /** The treatment of the next connection; by default it is accepted. */
  behaviour: Behaviour;
  port = 0;
  #server: Server | undefined;

  constructor(behaviour: Behaviour = (peer) => void peer.accept()) {
    this.behaviour = behaviour;
    afterTest(() => void this.down());
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/feed`;
  }

  async up(): Promise<this> {
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
      void readHead(socket).then(
        (peer) => {
          this.peers.push(peer);
          this.behaviour(peer);
        },
        () => {},
      );
    });
    this.#server = server;
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
    return this;
  }

  /** Resolves with the connection of that number, from 0. */
  async peer(index = this.peers.length): Promise<RawPeer> {
    return await until(`connection number ${index}`, () => this.peers[index]);
  }

  /** Stops listening and cuts every connection, as a killed process does. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    await closed;
  }

  readonly #sockets = new Set<Socket>();
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Reads up to the empty line. @throws Error when the connection ends before it */
async function readHead(socket: Socket): Promise<RawPeer> {
  let received: Buffer = Buffer.alloc(0);
  return await new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error(`ended before the handshake: ${received.toString('latin1')}`));
    const data = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', data).off('close', ended);
      resolve(new RawPeer(socket, received.toString('latin1', 0, end), received.subarray(end + 4)));
    };
    socket.on('data', data).on('close', ended);
  });
}
