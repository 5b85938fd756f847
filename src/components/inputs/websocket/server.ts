import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { formatAddress } from '../../../component/address.ts';
import type { Input, InputContext } from '../../../component/contracts.ts';
import type { Endpoint, ListenerTls } from '../../../component/listeners.ts';
import { loadTls, socketOptions } from '../../../component/websocket.ts';
import { EndOfInputError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { bindAddress, type WebSocketInputConfig } from './config.ts';
import { NO_TIMEOUT, Sessions } from './sessions.ts';

/** How long a peer has to take the answer to a handshake that was refused, in milliseconds. */
const REFUSAL_GRACE = 2_000;

/** Accepts any number of connections on one path. */
export class WebSocketServerInput implements Input {
  readonly budgeted = true;
  readonly listens = true;
  readonly #config: WebSocketInputConfig;
  readonly #context: InputContext;
  readonly #sessions: Sessions;
  readonly #server: WebSocketServer;
  #endpoint: Endpoint | undefined;
  #source = '';
  #draining = false;

  constructor(config: WebSocketInputConfig, context: InputContext) {
    this.#config = config;
    this.#context = context;
    this.#sessions = new Sessions(config, context, () => this.#endIfDrained());
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: config.max_message_size,
      ...socketOptions(NO_TIMEOUT),
      handleProtocols: (offered) => config.protocols.find((name) => offered.has(name)) ?? false,
    });
    // What `ws` finds wrong with a handshake it answers itself (RFC 6455 section 4.2.1).
    this.#server.on('wsClientError', (error, socket, request) => {
      refuse(socket, 400, error.message);
      this.#refused(400, error.message, request);
    });
  }

  async connect(): Promise<void> {
    const { host, port, path } = bindAddress(this.#config);
    const { tls } = this.#config;
    this.#endpoint = await this.#context.listeners.upgrade({
      host,
      port,
      path,
      tls: tls && ((await loadTls(tls)) as ListenerTls),
      handler: (request, socket, head) => this.#accept(request, socket, head),
    });
    const url = `${tls === undefined ? 'ws' : 'wss'}://${formatAddress(host, this.#endpoint.port)}${path}`;
    this.#source = this.#context.name ?? url;
    this.#context.events.listening(url);
  }

  read(signal: AbortSignal): Promise<Batch> {
    return this.#sessions.inbox.read(signal);
  }

  drain(): void {
    this.#draining = true;
    this.#sessions.closeAll(1001, 'going away');
    this.#endIfDrained();
  }

  async close(): Promise<void> {
    this.#sessions.dispose();
    await this.#endpoint?.close();
    this.#endpoint = undefined;
  }

  #accept(request: IncomingMessage, socket: Duplex, head: Uint8Array): void {
    if (this.#draining) {
      refuse(socket, 503, 'shutting down');
      this.#refused(503, 'shutting down', request);
      return;
    }
    this.#server.handleUpgrade(request, socket, Buffer.from(head), (webSocket) => {
      this.#sessions.add(webSocket, request.socket, this.#source, {
        path: pathOf(request),
        protocol: webSocket.protocol,
        ...this.#chosen(request),
      });
    });
  }

  /** The headers and query parameters that the configuration asks for, where the request has them. */
  #chosen(request: IncomingMessage): Record<string, string> {
    const chosen: Record<string, string> = {};
    const { headers = [], query = [] } = this.#config.metadata ?? {};
    for (const name of headers) {
      const value = request.headers[name];
      if (value !== undefined) chosen[`header.${name}`] = Array.isArray(value) ? value.join(', ') : value;
    }
    if (query.length > 0) {
      const parameters = new URLSearchParams(/\?(.*)$/.exec(request.url ?? '')?.[1]);
      for (const name of query) {
        const value = parameters.get(name);
        if (value !== null) chosen[`query.${name}`] = value;
      }
    }
    return chosen;
  }

  #refused(status: number, reason: string, request: IncomingMessage): void {
    this.#context.events.connectionRefused({ status, reason, remote_address: request.socket.remoteAddress });
  }

  #endIfDrained(): void {
    if (this.#draining && this.#sessions.size === 0) this.#sessions.inbox.end(new EndOfInputError());
  }
}

/** As the listener compares it: the target may be in absolute form (RFC 9112 section 3.2.2). */
function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/, '') || '/';
}

/** Answers a handshake that comes to nothing. */
function refuse(socket: Duplex, status: number, reason: string): void {
  const body = `${reason}\n`;
  socket.on('error', () => {});
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  // To close with unread data would reset the connection before the peer has the answer; to wait for ever would let
  // it keep the socket.
  const deadline = setTimeout(() => socket.destroy(), REFUSAL_GRACE);
  socket.once('close', () => clearTimeout(deadline));
  socket.resume();
}
