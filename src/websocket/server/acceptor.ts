import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { formatAddress } from '../../component/address.ts';
import type { EndpointContext } from '../../component/contracts.ts';
import type { Endpoint, ListenerTls, PathParameters } from '../../component/listeners.ts';
import { socketOptions } from '../compression.ts';
import { loadTls } from '../tls.ts';
import { bindAddress, limitsOf, type Limits, type ServerConfig } from './fields.ts';

/** For the `closeTimeout` of `ws`, which runs on while we don't read; `Sessions` has its own. */
export const NO_TIMEOUT = 2 ** 31 - 1;

/** How long a peer has to take the answer to a handshake that was refused, in milliseconds. */
const REFUSAL_GRACE = 2_000;

/** What is known of a session when it opens, for its `__meta_ext`. */
export type SessionExt = Readonly<Record<string, string>>;

/** Takes WebSocket handshakes on one path, and refuses those that the configuration does not allow. */
export class Acceptor {
  readonly limits: Limits;
  readonly #config: ServerConfig;
  readonly #context: EndpointContext;
  readonly #opened: (socket: WebSocket, connection: Socket, ext: SessionExt) => void;
  readonly #server: WebSocketServer;
  #endpoint: Endpoint | undefined;
  #stopped = false;

  /** `opened` is called in the turn in which the handshake ends. */
  constructor(
    config: ServerConfig,
    context: EndpointContext,
    opened: (socket: WebSocket, connection: Socket, ext: SessionExt) => void,
  ) {
    this.#config = config;
    this.#context = context;
    this.#opened = opened;
    this.limits = limitsOf(config.limits);
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: config.max_message_size,
      ...socketOptions(NO_TIMEOUT, config.compression),
      handleProtocols: (offered) => config.protocols.find((name) => offered.has(name)) ?? false,
    });
    // What `ws` finds wrong with a handshake it answers itself (RFC 6455 section 4.2.1).
    this.#server.on('wsClientError', (error, socket, request) =>
      this.#refuse(request, socket, 400, error.message),
    );
  }

  /** The path that it serves, as configured. */
  get path(): string {
    return bindAddress(this.#config).path;
  }

  /** Resolves with the URL that it listens on. */
  async listen(): Promise<string> {
    const { host, port, path } = bindAddress(this.#config);
    const { tls } = this.#config;
    this.#endpoint = await this.#context.listeners.upgrade({
      host,
      port,
      path,
      tls: tls && ((await loadTls(tls)) as ListenerTls),
      handler: (request, socket, head, parameters) => this.#accept(request, socket, head, parameters),
    });
    const url = `${tls === undefined ? 'ws' : 'wss'}://${formatAddress(host, this.#endpoint.port)}${path}`;
    this.#context.events.listening(url);
    return url;
  }

  /** From now on clients get 503. */
  stop(): void {
    this.#stopped = true;
  }

  async close(): Promise<void> {
    await this.#endpoint?.close();
    this.#endpoint = undefined;
  }

  #accept(request: IncomingMessage, socket: Duplex, head: Uint8Array, parameters: PathParameters): void {
    if (this.#stopped) return this.#refuse(request, socket, 503, 'shutting down');
    this.#server.handleUpgrade(request, socket, Buffer.from(head), (webSocket) => {
      this.#opened(webSocket, request.socket, {
        remote_address: request.socket.remoteAddress ?? '',
        path: pathOf(request),
        protocol: webSocket.protocol,
        ...Object.fromEntries(Object.entries(parameters).map(([name, value]) => [`param.${name}`, value])),
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
      const parameters = queryOf(request);
      for (const name of query) {
        const value = parameters.get(name);
        if (value !== null) chosen[`query.${name}`] = value;
      }
    }
    return chosen;
  }

  #refuse(request: IncomingMessage, socket: Duplex, status: number, reason: string): void {
    answerRefusal(socket, status, reason);
    const { remoteAddress: remote_address } = request.socket;
    this.#context.events.connectionRefused({ status, reason, remote_address });
  }
}

/** The parameters of the request's query. */
export function queryOf(request: IncomingMessage): URLSearchParams {
  return new URLSearchParams(/\?(.*)$/.exec(request.url ?? '')?.[1]);
}

/** As the listener compares it: the target may be in absolute form (RFC 9112 section 3.2.2). */
function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/, '') || '/';
}

/** Answers a handshake that comes to nothing. */
function answerRefusal(socket: Duplex, status: number, reason: string): void {
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
