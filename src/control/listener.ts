import { tlsErrors } from '../net/tls.ts';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext, type Server as TlsServer } from 'node:tls';
import type { HandshakeLimits, ListenerTls, Refusal, UpgradeHandler } from '../component/listeners.ts';
import { pathOf, refuseUpgrade } from '../component/requests.ts';
import { MillraceError, errorMessage } from '../errors.ts';
import { http } from '../node-http.ts';
import type { Descriptors } from './descriptors.ts';
import { Handshakes } from './handshakes.ts';
import { Routes } from './routes.ts';
import { upgradeFault } from './upgrade-fault.ts';

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;
interface UpgradeRoute {
  readonly upgrade: UpgradeHandler;
  readonly connections: number;
  readonly refused: ((refusal: Refusal) => void) | undefined;
}
export type Route = UpgradeRoute | { readonly http: HttpHandler };

/** All in milliseconds. None applies to an upgraded socket. */
export interface ListenerTimeouts {
  /** For the headers of a request, from the opening of the connection or the end of the last request. */
  readonly headers: number;
  /** For a whole request, body included. */
  readonly request: number;
  /** For the next request on an idle connection. */
  readonly keepAlive: number;
  /** How late the first two may be noticed. */
  readonly checking: number;
  /** For a peer to take the answer to a refused upgrade, and for requests under way when the listener closes. */
  readonly grace: number;
}

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: ListenerTls | undefined;
  readonly timeouts: ListenerTimeouts;
  readonly descriptors: Descriptors;
  /** Called when connections are refused because the process may open no more files. */
  readonly onFull: (limits: { limit: number; allowed: number }) => void;
  /** Called for errors that no request caused: a handler that threw, connections that cannot be accepted. */
  readonly onError: (error: unknown) => void;
  /** Called for requests that no component sees and no route reports. */
  readonly onRefused: (refusal: UnservedRequest) => void;
  /** Called for connections that end before TLS is established. */
  readonly onTlsFailed: (error: Error, remoteAddress: string | undefined) => void;
}

/** A request that the listener itself answered. */
export interface UnservedRequest extends Pick<Refusal, 'status' | 'reason' | 'remote_address'> {
  /** The path as sent, cut to 200 characters; empty if the request did not get that far. */
  readonly path: string;
  /** The paths that are served at this address. */
  readonly served: readonly string[];
}

/** Node's default, set here so that `--max-http-header-size` cannot raise it. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Thousands may connect at once, for example after a restart. The kernel takes the lower of this and its own limit. */
const BACKLOG = 4096;

/** One HTTP server: it routes requests by path, and answers those without a route. */
export class Listener {
  readonly routes = new Routes<Route>();
  readonly #server: Server;
  readonly #options: ListenerOptions;
  readonly #handshakes: Handshakes;
  #tls: ListenerTls | undefined;
  #handshake: HandshakeLimits | undefined;
  /** If no descriptor is left, the system closes connections that Node never sees. */
  readonly #looking: NodeJS.Timeout;
  #requests = 0;
  #closed = false;

  /** @throws MillraceError MILLRACE_TLS_INVALID */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#tls = options.tls;
    this.#server = createHttpServer(options);
    const { descriptors } = options;
    const times = { ...handshakeTimes(options.timeouts), descriptors };
    this.#handshakes = new Handshakes(this.#server, times, (remote) =>
      this.#refused(503, this.#whyFull() ?? 'it sent no request and had to make room for others', remote),
    );
    this.#looking = setInterval(() => {
      if (descriptors.exhausted) this.#tellFull();
    }, options.timeouts.checking).unref();
    this.#server.on('request', (request, response) => this.#request(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('tlsClientError', (error: Error, socket: Socket) =>
      options.onTlsFailed(error, socket.remoteAddress),
    );
    this.#server.on('clientError', (error, socket) => this.#malformed(error, socket as Socket));
  }

  get tls(): ListenerTls | undefined {
    return this.#tls;
  }

  /** The options on which the upgrade endpoints here have agreed, or undefined if none has set any. */
  get handshake(): HandshakeLimits | undefined {
    return this.#handshake;
  }

  addRoutes(paths: readonly string[], route: Route, handshake: HandshakeLimits | undefined): void {
    for (const path of paths) this.routes.add(path, route);
    this.#limitHandshakes();
    if (handshake === undefined || this.#handshake !== undefined) return;
    this.#handshake = handshake;
    const { timeouts } = this.#options;
    const times = handshakeTimes({ ...timeouts, headers: handshake.timeout });
    this.#server.headersTimeout = handshake.timeout;
    this.#server.requestTimeout = Math.max(timeouts.request, handshake.timeout);
    // Node reads it for each connection; its types do not know that it is a property.
    (this.#server as { maxHeaderSize?: number }).maxHeaderSize = handshake.headerSize;
    this.#handshakes.patience = times.patience;
  }

  deleteRoutes(paths: readonly string[]): void {
    for (const path of paths) this.routes.delete(path);
    this.#limitHandshakes();
  }

  /** As `UpgradeEndpoint.renewTls`. */
  renewTls(tls: ListenerTls): boolean {
    if (this.#tls === undefined || isSameTls(this.#tls, tls)) return false;
    // Tested first, because Node would keep the fitting half of a pair that does not match.
    const options = checkTls(() => {
      const read = secureOptions(tls);
      createSecureContext(read);
      return read;
    });
    (this.#server as unknown as TlsServer).setSecureContext(options);
    this.#tls = tls;
    return true;
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
    this.#handshakes.stop();
    clearInterval(this.#looking);
    this.#server.close();
    this.#closeConnections();
    // Node stops looking for slow requests once a server is closed, so one of them could stay for ever.
    setTimeout(() => this.#server.closeAllConnections(), this.#options.timeouts.grace).unref();
  }

  /**
   * Closes the remaining connections of a closed server, unless a handler is at work. Upgraded sockets do not belong to
   * the server.
   */
  #closeConnections(): void {
    if (this.#closed && this.#requests === 0) this.#server.closeAllConnections();
  }

  /** As many connections may be at their handshake as may be connected, if that is limited. */
  #limitHandshakes(): void {
    const limits = this.routes.all.map((route) => ('upgrade' in route ? route.connections : 0));
    this.#handshakes.brief = !this.routes.all.some((route) => 'upgrade' in route);
    this.#handshakes.limit = limits.reduce((sum, each) => sum + each, 0) || Infinity;
  }

  /**
   * Reports that the process may open no more files, if connections are refused for that, and returns it as a reason.
   */
  #whyFull(): string | undefined {
    const { descriptors } = this.#options;
    if (!descriptors.full) return undefined;
    this.#tellFull();
    const { limit, allowed } = descriptors;
    return `the process may open ${limit} files, which leaves ${allowed} for connections`;
  }

  #tellFull(): void {
    const { limit, allowed } = this.#options.descriptors;
    this.#options.onFull({ limit, allowed });
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const mayStay = this.#handshakes.done(request.socket);
    this.#requests++;
    response.once('close', () => {
      this.#requests--;
      this.#closeConnections();
    });
    const path = pathOf(request);
    const turnAway = (
      status: number,
      text: string,
      reason: string,
      route?: Route,
      connection?: string,
    ): void => {
      this.#refused(status, reason, request.socket.remoteAddress, request, route);
      answer(response, status, text, connection);
    };
    if (!mayStay) {
      response.setHeader('Retry-After', RETRY_AFTER);
      return turnAway(503, TOO_MANY, this.#whyFull() ?? TOO_MANY);
    }
    const found = this.routes.find(path);
    if (found === undefined) return turnAway(404, notFound(path), nothingAt(path));
    if (found === 'malformed') return turnAway(400, MALFORMED_PATH, MALFORMED_PATH);
    const { route } = found;
    if ('upgrade' in route) {
      const scheme = this.tls === undefined ? 'ws' : 'wss';
      // RFC 9110 section 15.5.22: a 426 names the protocol in Upgrade.
      response.setHeader('Upgrade', 'websocket');
      const text = `${path} takes WebSocket connections only. Connect to it with a WebSocket client, at ${scheme}://.`;
      return turnAway(426, text, 'a plain HTTP request', route, 'Upgrade, close');
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
    const mayStay = this.#handshakes.done(request.socket);
    // Node has removed its own listener, and an unhandled error event ends the process. This one stays: the handler may
    // need time (authentication) before the socket has a listener again.
    socket.on('error', ignore);
    const { grace } = this.#options.timeouts;
    const path = pathOf(request);
    const found = this.routes.find(path);
    const known = typeof found === 'object' ? found.route : undefined;
    const turnAway = (status: number, text: string, reason = text, headers = {}): void => {
      this.#refused(status, reason, request.socket.remoteAddress, request, known);
      refuseUpgrade(socket, status, text, grace, headers);
    };
    // The answer to an earlier request on the connection would land among the frames.
    if (isAnswering(request.socket)) {
      const reason = 'an earlier request on its connection has no answer yet';
      this.#refused(400, reason, request.socket.remoteAddress, request, known);
      return void socket.destroy();
    }
    if (!mayStay)
      return turnAway(503, TOO_MANY, this.#whyFull() ?? TOO_MANY, { 'Retry-After': String(RETRY_AFTER) });
    const fault = upgradeFault(request);
    if (fault !== undefined) return turnAway(400, fault);
    if (!wantsWebSocket(request)) {
      const headers = { Upgrade: 'websocket', Connection: 'Upgrade, close' };
      const text = 'The only upgrade here is to websocket.';
      return turnAway(426, text, text, headers);
    }
    if (found === undefined) return turnAway(404, notFound(path), nothingAt(path));
    if (found === 'malformed') return turnAway(400, MALFORMED_PATH);
    const { route, parameters } = found;
    if ('http' in route) return turnAway(404, `${path} takes no WebSocket connections.`);
    try {
      route.upgrade(request, socket, head, parameters);
    } catch (error) {
      this.#options.onError(error);
      refuseUpgrade(socket, 500, 'The request could not be handled.', grace);
    }
  }

  /** A request that Node cannot read, or that does not come. Node would answer it too, but without reading the rest. */
  #malformed(error: Error & { code?: string }, socket: Answering): void {
    const answered = socket._httpMessage?.headersSent === true;
    // `tlsClientError` reports it.
    const beforeTls = error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT';
    if (error.code === 'ECONNRESET' || beforeTls || answered || !socket.writable)
      return void socket.destroy();
    this.#handshakes.done(socket);
    const [status, text] = reasons[error.code ?? ''] ?? [400, 'The request is not valid HTTP.'];
    this.#refused(status, text, socket.remoteAddress);
    refuseUpgrade(socket, status, text, this.#options.timeouts.grace);
  }

  /** Reports to the route of the request, or to the only route that it can have been for. */
  #refused(
    status: number,
    text: string,
    remote_address: string | undefined,
    request?: IncomingMessage,
    route = this.routes.only,
  ): void {
    const reason = text.replace(/\.$/, '');
    if (route !== undefined && 'upgrade' in route && route.refused !== undefined) {
      return route.refused({ status, reason, remote_address, request });
    }
    const path = request === undefined ? '' : pathOf(request).slice(0, 200);
    this.#options.onRefused({ status, reason, path, remote_address, served: this.routes.paths });
  }
}

/** A socket with the response that Node is sending on it, which has no public name. */
type Answering = Socket & { readonly _httpMessage?: ServerResponse | null };

function isAnswering(socket: Answering): boolean {
  return (socket._httpMessage ?? null) !== null;
}

/** When clients that found no room should try again, in seconds. */
const RETRY_AFTER = 10;

const TOO_MANY = 'Too many connections.';

const MALFORMED_PATH = 'The path is not percent-encoded UTF-8.';

/** The answers to requests that Node gives up, by its error's code. */
const reasons: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers are too large.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'The extensions of a chunk are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request did not come in time.'],
};

/** Runs after Node itself has had time to answer: the second look counts. */
function handshakeTimes({ headers, checking }: ListenerTimeouts): { patience: number; checking: number } {
  return { patience: headers + checking, checking };
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
  if (tls === undefined) return http.createServer(options);
  return checkTls(() =>
    createTlsServer({
      ...options,
      ...secureOptions(tls),
      ...(tls.ca !== undefined && { requestCert: true, rejectUnauthorized: true }),
      handshakeTimeout: timeouts.headers,
    }),
  );
}

function secureOptions({ cert, key, ca }: ListenerTls): { cert: Buffer; key: Buffer; ca?: Buffer } {
  // Node silently accepts an authority that is not a certificate, and would then refuse every client.
  if (ca !== undefined) void new X509Certificate(Buffer.from(ca));
  return { cert: Buffer.from(cert), key: Buffer.from(key), ...(ca !== undefined && { ca: Buffer.from(ca) }) };
}

/** @throws MillraceError MILLRACE_TLS_INVALID */
function checkTls<T>(use: () => T): T {
  try {
    return use();
  } catch (cause) {
    throw new MillraceError(
      tlsErrors.MILLRACE_TLS_INVALID,
      `the certificate, key or authority cannot be used: ${errorMessage(cause)}; expected PEM, and the key of this certificate`,
      { cause, fatal: true },
    );
  }
}

export function isSameTls(a: ListenerTls | undefined, b: ListenerTls | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return isSamePem(a.cert, b.cert) && isSamePem(a.key, b.key) && isSamePem(a.ca, b.ca);
}

function isSamePem(a: string | Uint8Array | undefined, b: string | Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.from(a).equals(Buffer.from(b));
}

function wantsWebSocket(request: IncomingMessage): boolean {
  const offered = request.headers.upgrade?.split(',') ?? [];
  return offered.some((each) => each.trim().toLowerCase() === 'websocket');
}

function notFound(path: string): string {
  return `N${nothingAt(path).slice(1)}. Check the path.`;
}

function nothingAt(path: string): string {
  // A path can be as long as the headers may be.
  return `nothing is served at ${path.length > 200 ? `${path.slice(0, 200)}…` : path}`;
}

function answer(response: ServerResponse, status: number, text: string, connection = 'close'): void {
  response.statusCode = status;
  response.setHeader('Connection', connection);
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.end(`${text}\n`);
}

function ignore(): void {}
