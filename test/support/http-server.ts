import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Fields, Peer } from '../../src/testing-api.ts';
import { afterTest } from './cleanup.ts';

/** A request, as it came. */
export interface Came {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export type Answer = (request: Came, response: ServerResponse, number: number) => void;

const ok: Answer = (_, response) => void response.writeHead(204).end();

/** An HTTP server of Node's that keeps what it was sent. It can be stopped, come back on its port, and fall silent. */
export class HttpServer implements Peer {
  readonly requests: Came[] = [];
  /** Connections that were made. */
  connections = 0;
  answer: Answer = ok;
  port = 0;
  readonly #tls: ServerOptions | undefined;
  #server: ReturnType<typeof createServer> | undefined;
  readonly #sockets = new Set<Socket>();
  #frozen = false;

  constructor(tls?: ServerOptions) {
    this.#tls = tls;
  }

  /** Starts it for one test. */
  static async start(answer: Answer = ok, tls?: ServerOptions): Promise<HttpServer> {
    const server = new HttpServer(tls);
    server.answer = answer;
    await server.restart();
    afterTest(() => server.stop());
    return server;
  }

  get url(): string {
    return `${this.#tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.port}`;
  }

  get bodies(): string[] {
    return this.requests.map(({ body }) => body.toString());
  }

  async start(): Promise<Fields> {
    this.requests.length = 0;
    this.port = 0;
    this.#frozen = false;
    await this.restart();
    return { url: `${this.url}/in` };
  }

  async restart(): Promise<void> {
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#handle(request, response);
    };
    const server = this.#tls === undefined ? createServer(handle) : createSecureServer(this.#tls, handle);
    server.on('connection', (socket: Socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    this.cut();
    await closed;
  }

  /** Ends every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  freeze(): void {
    this.#frozen = true;
  }

  arrived(): readonly string[] {
    return this.bodies;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#frozen) return;
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return;
    }
    const { method = '', url = '', headers } = request;
    const came = { method, target: url, headers, body: Buffer.concat(chunks) };
    this.requests.push(came);
    this.answer(came, response, this.requests.length);
  }
}
