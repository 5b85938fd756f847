import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import type { ListenerTls, UpgradeHandler } from '../component/listeners.ts';
import { MillraceError, errorMessage } from '../errors.ts';

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;
export type Route = { readonly upgrade: UpgradeHandler } | { readonly http: HttpHandler };

/** Milliseconds, all of them. None applies to a socket that has been upgraded. */
export interface ListenerTimeouts {
  /** For the headers of a request, from the opening of the connection or the end of the last request. */
  readonly headers: number;
  /** For a whole request, body included. */
  readonly request: number;
  /** For the next request on an idle connection. */
  readonly keepAlive: number;
  /** How late the two first may be noticed. */
  readonly checking: number;
  /** For a peer to take the answer to an upgrade that was refused, and for requests under way when it closes. */
  readonly grace: number;
}

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: ListenerTls | undefined;
  readonly timeouts: ListenerTimeouts;
  /** Told of errors that no request is to blame for: a handler that threw, connections that cannot be accepted. */
  readonly onError: (error: unknown) => void;
  /** Told of requests that no component gets to see. */
  readonly onRefused: (refusal: Refusal) => void;
}

/** A request that was answered here. */
export interface Refusal {
  readonly status: number;
  /** As it was sent, cut to 200 characters. */
  readonly path: string;
  readonly remote_address: string | undefined;
  /** The paths that are served at this address. */
  readonly served: readonly string[];
}

/** Node's default, said here so that `--max-http-header-size` cannot raise it. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Thousands may connect at once, after a restart for one; the kernel takes the lower of this and its own limit. */
const BACKLOG = 4096;

/** One HTTP server: it finds the route of a request by its path, and answers those that have none. */
export class Listener {
  readonly tls: ListenerTls | undefined;
  readonly routes = new Map<string, Route>();
  readonly #server: Server;
  readonly #options: ListenerOptions;
  #requests = 0;
  #closed = false;

  /** @throws MillraceError MILLRACE_TLS_INVALID */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.tls = options.tls;
    this.#server = createHttpServer(options);
    this.#server.on('request', (request, response) => this.#request(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Resolves with the port. Rejects with the system's error. */
  async listen(): Promise<number> {
    const { host, port, onError } = this.#options;
    const listening = once(this.#server, 'listening');
    this.#server.listen({ host, port, backlog: BACKLOG });
    await listening;
    this.#server.on('error', onError);
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  /** Frees the port at once. Upgraded sockets stay open; requests under way may end. */
  close(): void {
    this.#closed = true;
    this.#server.close();
    this.#closeConnections();
    // Node stops looking for slow requests once a server is closed, so one of them could stay for ever.
    setTimeout(() => this.#server.closeAllConnections(), this.#options.timeouts.grace).unref();
  }

  /** Closes what is left of a closed server, unless a handler is at work; upgraded sockets are not the server's. */
  #closeConnections(): void {
    if (this.#closed && this.#requests === 0) this.#server.closeAllConnections();
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    this.#requests++;
    response.once('close', () => {
      this.#requests--;
      this.#closeConnections();
    });
    const path = pathOf(request);
    const route = this.routes.get(path);
    if (route === undefined) {
      this.#refused(404, request);
      return answer(response, 404, notFound(path));
    }
    if ('upgrade' in route) {
      this.#refused(426, request);
      const scheme = this.tls === undefined ? 'ws' : 'wss';
      // RFC 9110 section 15.5.22: a 426 names the protocol in Upgrade.
      response.setHeader('Upgrade', 'websocket');
      return answer(
        response,
        426,
        `${path} takes WebSocket connections only. Connect to it with a WebSocket client, at ${scheme}://.`,
        'Upgrade, close',
      );
    }
    try {
      route.http(request, response);
    } catch (error) {
      this.#options.onError(error);
      if (response.headersSent) response.destroy();
      else answer(response, 500, 'The request could not be handled.');
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): void {
    // Node has taken its own listener off, and an error that nobody listens to ends the process. It stays: the
    // handler may need time (authentication) before the socket has a listener again.
    socket.on('error', ignore);
    const { grace } = this.#options.timeouts;
    const turnAway = (status: number, phrase: string, text: string): void => {
      this.#refused(status, request);
      refuse(socket, status, phrase, text, grace);
    };
    if (request.headers.host === undefined && request.httpVersion !== '1.0') {
      return turnAway(400, 'Bad Request', 'The request has no Host header.');
    }
    if (!wantsWebSocket(request)) {
      return turnAway(426, 'Upgrade Required', 'The only upgrade here is to websocket.');
    }
    const path = pathOf(request);
    const route = this.routes.get(path);
    if (route === undefined) return turnAway(404, 'Not Found', notFound(path));
    if ('http' in route) return turnAway(404, 'Not Found', `${path} takes no WebSocket connections.`);
    try {
      route.upgrade(request, socket, head, {});
    } catch (error) {
      this.#options.onError(error);
      refuse(socket, 500, 'Internal Server Error', 'The request could not be handled.', grace);
    }
  }

  #refused(status: number, request: IncomingMessage): void {
    this.#options.onRefused({
      status,
      path: pathOf(request).slice(0, 200),
      remote_address: request.socket.remoteAddress,
      served: [...this.routes.keys()],
    });
  }
}

function createHttpServer({ tls, timeouts }: ListenerOptions): Server {
  const options: ServerOptions = {
    headersTimeout: timeouts.headers,
    requestTimeout: timeouts.request,
    keepAliveTimeout: timeouts.keepAlive,
    connectionsCheckingInterval: timeouts.checking,
    maxHeaderSize: MAX_HEADER_BYTES,
    noDelay: true,
    // Other upgrades are ignored (RFC 9110 section 7.8): Java's HTTP client offers h2c with every request. Node before
    // 24.9 does not know this option; there they get a 426.
    shouldUpgradeCallback: wantsWebSocket,
  };
  if (tls === undefined) return createServer(options);
  const { cert, key, ca } = tls;
  try {
    const clients =
      ca === undefined ? {} : { ca: checkCertificate(ca), requestCert: true, rejectUnauthorized: true };
    return createTlsServer({
      ...options,
      ...clients,
      cert: toBuffer(cert),
      key: toBuffer(key),
      handshakeTimeout: timeouts.headers,
    });
  } catch (cause) {
    throw new MillraceError(
      'MILLRACE_TLS_INVALID',
      `the certificate, key or authority cannot be used: ${errorMessage(cause)}; expected PEM, and the key of this certificate`,
      { cause, fatal: true },
    );
  }
}

export function toBuffer(pem: string | Uint8Array): Buffer {
  return typeof pem === 'string' ? Buffer.from(pem) : Buffer.from(pem);
}

/** Node takes an authority that is no certificate without a word, and would then refuse every client. */
function checkCertificate(pem: string | Uint8Array): Buffer {
  const buffer = toBuffer(pem);
  void new X509Certificate(buffer);
  return buffer;
}

function wantsWebSocket(request: IncomingMessage): boolean {
  const offered = request.headers.upgrade?.split(',') ?? [];
  return offered.some((each) => each.trim().toLowerCase() === 'websocket');
}

/** The path as it was sent, nothing decoded or resolved; the target may be in absolute form (RFC 9112 section 3.2.2). */
function pathOf(request: IncomingMessage): string {
  const target = (request.url ?? '').replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '');
  return /^[^?#]*/.exec(target)![0] || '/';
}

function notFound(path: string): string {
  // A path can be as long as the headers may be.
  return `Nothing is served at ${path.length > 200 ? `${path.slice(0, 200)}…` : path}. Check the path.`;
}

function answer(response: ServerResponse, status: number, text: string, connection = 'close'): void {
  response.statusCode = status;
  response.setHeader('Connection', connection);
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.end(`${text}\n`);
}

/** Answers an upgrade that comes to nothing. `grace` in milliseconds for the peer to take the answer. */
function refuse(socket: Duplex, status: number, phrase: string, text: string, grace: number): void {
  const body = Buffer.from(`${text}\n`);
  const headers = [
    `HTTP/1.1 ${status} ${phrase}`,
    ...(status === 426 ? ['Upgrade: websocket', 'Connection: Upgrade, close'] : ['Connection: close']),
    'Content-Type: text/plain; charset=utf-8',
    'X-Content-Type-Options: nosniff',
    `Content-Length: ${body.length}`,
  ];
  socket.end(Buffer.concat([Buffer.from(`${headers.join('\r\n')}\r\n\r\n`), body]));
  // To close with unread data would reset the connection, and the peer might never see the answer. So what it sends
  // is read and dropped until it closes too, but not for ever.
  const deadline = setTimeout(() => socket.destroy(), grace);
  socket.once('close', () => clearTimeout(deadline));
  socket.resume();
}

function ignore(): void {}
