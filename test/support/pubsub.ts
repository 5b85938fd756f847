import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import {
  WebPubSubClient,
  WebPubSubJsonProtocol,
  type OnGroupDataMessageArgs,
  type OnServerDataMessageArgs,
  type WebPubSubClientOptions,
} from '@azure/web-pubsub-client';
import { WebSocket, type ClientOptions } from 'ws';
import { afterTest } from './cleanup.ts';
import { type Client, type Closed } from './peers.ts';
import { until } from './until.ts';

export const PLAIN = 'json.webpubsub.azure.v1';
export const RELIABLE = 'json.reliable.webpubsub.azure.v1';

/** Everything that the published client has seen. */
export interface AzureClient {
  readonly client: WebPubSubClient;
  /** Of each `connected` event. */
  readonly connected: { connectionId: string; userId: string | undefined }[];
  readonly disconnected: { connectionId: string | undefined; message: string | undefined }[];
  readonly group: OnGroupDataMessageArgs['message'][];
  readonly server: OnServerDataMessageArgs['message'][];
}

/** Starts the published client, and resolves when the server has said that it is connected. */
export async function azureClient(
  url: string,
  options: WebPubSubClientOptions & { plain?: boolean } = {},
): Promise<AzureClient> {
  const { plain = false, ...rest } = options;
  const client = new WebPubSubClient(url, {
    // Each attempt of the caller is one message, unless the test wants it otherwise.
    messageRetryOptions: { maxRetries: 0 },
    reconnectRetryOptions: { retryDelayInMs: 50 },
    ...(plain && { protocol: WebPubSubJsonProtocol() }),
    ...rest,
  });
  const seen: AzureClient = { client, connected: [], disconnected: [], group: [], server: [] };
  client.on('connected', ({ connectionId, userId }) => seen.connected.push({ connectionId, userId }));
  client.on('disconnected', ({ connectionId, message }) =>
    seen.disconnected.push({ connectionId, message: message?.message }),
  );
  client.on('group-message', ({ message }) => seen.group.push(message));
  client.on('server-message', ({ message }) => seen.server.push(message));
  afterTest(() => client.stop());
  await client.start();
  await until('the client to be connected', () => seen.connected.length > 0);
  return seen;
}

/** A frame of the protocol, whichever it is. */
export interface Frame {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A client that speaks the protocol by hand. */
export interface RawClient extends Client {
  readonly frames: Frame[];
  /** As they came. */
  readonly texts: string[];
  say(frame: unknown): void;
  /** Resolves with the first frame that has all these fields. */
  got(fields: Record<string, unknown>): Promise<Frame>;
}

export async function rawClient(
  url: string,
  protocol = RELIABLE,
  options: ClientOptions = {},
): Promise<RawClient> {
  const frames: Frame[] = [];
  const texts: string[] = [];
  const socket = new WebSocket(url, [protocol], { perMessageDeflate: false, ...options });
  afterTest(() => socket.terminate());
  // The first comes with the answer to the handshake.
  socket.on('message', (data: Buffer) => {
    texts.push(data.toString());
    frames.push(JSON.parse(data.toString()) as Frame);
  });
  const closed = new Promise<Closed>((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await once(socket, 'open');
  socket.on('error', () => {});
  const has = (frame: Frame, fields: Record<string, unknown>): boolean =>
    Object.entries(fields).every(([name, value]) =>
      value !== null && typeof value === 'object'
        ? JSON.stringify(frame[name]) === JSON.stringify(value)
        : frame[name] === value,
    );
  return {
    socket,
    closed,
    frames,
    texts,
    say: (frame) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    got: (fields) =>
      until(`a frame with ${JSON.stringify(fields)}`, () => frames.find((frame) => has(frame, fields)), {
        timeout: 10_000,
        state: () => `these came: ${texts.slice(-10).join(' ').slice(0, 1000)}`,
      }),
  };
}

/** A TCP proxy whose connections can be cut, as a bad network does. */
export class Proxy {
  /** Connections that it has taken. */
  taken = 0;
  port = 0;
  /** While set, it takes no more. */
  down = false;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();

  constructor(target: number) {
    this.#target = target;
  }

  async listen(): Promise<this> {
    const server = createServer((near) => {
      if (this.down) return near.destroy();
      this.taken++;
      const far = connect(this.#target, '127.0.0.1');
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.setNoDelay(true);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
      return undefined;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
    afterTest(() => {
      this.cut();
      server.close();
    });
    return this;
  }

  /** Cuts every connection, with everything on its way. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }
}

export async function proxyTo(port: number): Promise<Proxy> {
  return await new Proxy(port).listen();
}
