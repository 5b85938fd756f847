import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { formatAddress } from '../../component/address.ts';
import type { Ext } from '../../message/metadata.ts';
import type { Context } from '../../component/context.ts';
import type { ListenerTls, PathParameters, UpgradeEndpoint } from '../../component/listeners.ts';
import { maskPath } from '../../component/mask.ts';
import { pathOf, refuseUpgrade } from '../../component/requests.ts';
import { acceptableOffers, compressAsConfigured, socketOptions } from '../compression.ts';
import { answerPings } from '../control-frames.ts';
import { NO_TIMEOUT } from '../timeouts.ts';
import { loadTls } from '../../net/tls.ts';
import { Admission, type Admitted, type Refused } from './admission.ts';
import { bindAddress, type Limits, type ServerConfig } from './server-schema.ts';
import { queryOf } from '../../net/auth/request.ts';
import { Slots, type Slot } from '../../net/slots.ts';
import { TlsReload, versions } from '../../net/tls-reload.ts';

/** How long a peer has to take the answer to a refused handshake, in milliseconds. */
const REFUSAL_GRACE = 2_000;

/** How long clients that found no room should wait before another attempt, in seconds. */
const RETRY_AFTER = 10;

/** Tells a client that asks for another version of the protocol which one we speak (RFC 6455 section 4.4). */
const VERSION = { 'Sec-WebSocket-Version': '13' };

/**
 * `ext` describes the session in its `__meta_ext`; `expires` is when the client's credentials expire, in milliseconds
 * since the epoch.
 */
export type SessionOpened = (
  socket: WebSocket,
  connection: Socket,
  ext: Ext,
  expires: number | undefined,
  request: IncomingMessage,
) => void;

/** Accepts WebSocket handshakes on one path, and refuses those that the configuration does not allow. */
export class Acceptor {
  readonly #limits: Limits;
  readonly #address: ReturnType<typeof bindAddress>;
  readonly #config: ServerConfig;
  readonly #context: Context;
  readonly #opened: SessionOpened;
  readonly #busy: () => string | undefined;
  readonly #admission: Admission;
  readonly #server: WebSocketServer;
  readonly #slots: Slots;
  #endpoint: UpgradeEndpoint | undefined;
  #reload: TlsReload | undefined;
  #stopped = false;

  /** Calls `opened` in the turn in which the handshake ends. `busy` says why no client can be accepted for now. */
  constructor(
    config: ServerConfig,
    context: Context,
    opened: SessionOpened,
    busy: () => string | undefined = () => undefined,
  ) {
    this.#busy = busy;
    this.#config = config;
    this.#context = context;
    this.#opened = opened;
    this.#address = bindAddress(config);
    this.#limits = config.limits;
    this.#slots = new Slots(this.#limits);
    this.#admission = new Admission(config, context.events);
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxFragments: this.#limits.fragments,
      ...socketOptions(NO_TIMEOUT, config.compression, config.max_message_size),
      handleProtocols: (_, request) => this.#admission.selectProtocol(request),
    });
    // `ws` itself answers handshakes that it finds wrong (RFC 6455 section 4.2.1).
    this.#server.on('wsClientError', (error, socket, request) =>
      this.#refuse(socket, this.#admission.addressOf(request), 400, error.message, VERSION),
    );
  }

  /** The path that it serves, as configured. */
  get path(): string {
    return this.#address.path;
  }

  /** @throws MillraceError MILLRACE_LISTEN_CONFLICT if another component of the file wants the same address */
  reserve(): void {
    this.#context.listeners.reserve(this.#address);
  }

  /** Resolves with the URL that it listens on. */
  async listen(): Promise<string> {
    const { host, port, path } = this.#address;
    const { tls } = this.#config;
    await this.#admission.open();
    const seen = tls && (await versions(tls));
    this.#endpoint = await this.#context.listeners.upgrade({
      host,
      port,
      path,
      tls: tls && ((await loadTls(tls)) as ListenerTls),
      handshake: { timeout: this.#limits.handshake_timeout, headerSize: this.#limits.header_size },
      connections: this.#limits.connections,
      refused: ({ status, reason, remote_address, request }) =>
        this.#context.events.connectionRefused({
          status,
          reason,
          remote_address: request === undefined ? remote_address : this.#admission.addressOf(request),
        }),
      handler: (request, socket, head, parameters) => this.#accept(request, socket, head, parameters),
    });
    this.#reload = tls && new TlsReload(tls, seen!, this.#endpoint, this.#context.events);
    const url = `${tls === undefined ? 'ws' : 'wss'}://${formatAddress(host, this.#endpoint.port)}${maskPath(path)}`;
    this.#context.events.listening(url);
    return url;
  }

  /** Answers clients with 503 from now on. */
  stop(): void {
    this.#stopped = true;
  }

  async close(): Promise<void> {
    this.#reload?.stop();
    this.#admission.close();
    const endpoint = this.#endpoint;
    // At once: a client whose credentials are still being checked is too late.
    this.#endpoint = undefined;
    await endpoint?.close();
  }

  #accept(request: IncomingMessage, socket: Duplex, head: Uint8Array, parameters: PathParameters): void {
    const turnAway = (reason: string, headers = {}): void =>
      this.#refuse(socket, this.#admission.addressOf(request), 503, reason, headers);
    if (this.#stopped) return turnAway('shutting down');
    const version = request.headers['sec-websocket-version'];
    if (version !== undefined && version !== '13') {
      const headers = { ...VERSION, Upgrade: 'websocket', Connection: 'Upgrade, close' };
      const reason = 'only version 13 of the protocol is supported';
      return this.#refuse(socket, this.#admission.addressOf(request), 426, reason, headers);
    }
    const later = { 'Retry-After': String(RETRY_AFTER) };
    const busy = this.#busy();
    if (busy !== undefined) return turnAway(busy, later);
    const slot = this.#slots.take();
    if (slot === undefined) return turnAway('too many connections', later);
    const decision = this.#admission.admit(request);
    if (!(decision instanceof Promise))
      return this.#decided(decision, slot, request, socket, head, parameters);
    // Data that the client sends meanwhile stays in the socket, which nobody reads.
    void decision.then((decided) => {
      if (this.#stopped || this.#endpoint === undefined) {
        slot.release();
        turnAway('shutting down');
      } else this.#decided(decided, slot, request, socket, head, parameters);
    });
  }

  #decided(
    decision: Admitted | Refused,
    slot: Slot,
    request: IncomingMessage,
    socket: Duplex,
    head: Uint8Array,
    parameters: PathParameters,
  ): void {
    const refused = this.#refusal(decision, slot, request);
    if (refused !== undefined) {
      slot.release();
      const { status, reason, address, headers, cause } = refused;
      return this.#refuse(socket, address, status, reason, headers, cause);
    }
    const { address, ext, expires } = decision as Admitted;
    // Read before the headers for `ws` are changed.
    const chosen = this.#chosen(request);
    this.#declineOffers(request);
    let open = false;
    this.#server.handleUpgrade(request, socket, Buffer.from(head), (webSocket) => {
      open = true;
      slot.releaseWith(webSocket);
      answerPings(webSocket);
      compressAsConfigured(webSocket, this.#config.compression, false);
      const session = {
        remote_address: address,
        path: maskPath(pathOf(request)),
        protocol: webSocket.protocol,
        ...Object.fromEntries(Object.entries(parameters).map(([name, value]) => [`param.${name}`, value])),
        ...chosen,
        ...ext,
      };
      this.#opened(webSocket, request.socket, session, expires, request);
    });
    // `ws` has answered by now, or the client is gone.
    if (!open) slot.release();
  }

  /** Why a client may not connect; undefined if it may. */
  #refusal(decision: Admitted | Refused, slot: Slot, request: IncomingMessage): Refused | undefined {
    if ('status' in decision) return decision;
    const { address } = decision;
    if (!slot.assign(address)) {
      const headers = { 'Retry-After': String(RETRY_AFTER) };
      return { address, status: 429, reason: 'too many connections from this address', headers };
    }
    if (!this.#config.protocol_required || this.#admission.selectProtocol(request) !== false)
      return undefined;
    const reason = `expected one of these subprotocols in Sec-WebSocket-Protocol: ${this.#config.protocols.join(', ')}`;
    return { address, status: 400, reason };
  }

  /** Removes the client's offers that cannot be accepted. `ws` refuses a malformed header. */
  #declineOffers({ headers }: IncomingMessage): void {
    const offered = headers['sec-websocket-extensions'];
    if (offered === undefined || this.#config.compression === false) return;
    try {
      const acceptable = acceptableOffers(offered);
      if (acceptable === undefined) delete headers['sec-websocket-extensions'];
      else headers['sec-websocket-extensions'] = acceptable;
    } catch {
      // Left as it is.
    }
  }

  /** The headers and query parameters that the configuration keeps, as far as the request has them. */
  #chosen(request: IncomingMessage): Record<string, string> {
    const chosen: Record<string, string> = {};
    const { headers, query } = this.#config.metadata;
    for (const name of headers) {
      const value = Object.hasOwn(request.headers, name) ? request.headers[name] : undefined;
      if (value !== undefined) chosen[`header.${name}`] = Array.isArray(value) ? value.join(', ') : value;
    }
    if (query.length > 0) {
      const parameters = queryOf(request);
      for (const name of query) {
        const values = parameters.getAll(name);
        if (values.length > 0) chosen[`query.${name}`] = values.join(',');
      }
    }
    return chosen;
  }

  /** `cause` is for the log, `reason` for the client. */
  #refuse(
    socket: Duplex,
    remote_address: string,
    status: number,
    reason: string,
    headers: Readonly<Record<string, string>> = {},
    cause = reason,
  ): void {
    refuseUpgrade(socket, status, reason, REFUSAL_GRACE, headers);
    this.#context.events.connectionRefused({ status, reason: cause, remote_address });
  }
}
