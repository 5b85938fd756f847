import type { AgentOptions, ClientRequestArgs } from 'node:http';
import { connect, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { once } from 'node:events';
import type { ClientTls } from '../../component/fields.ts';
import { abortable } from '../../component/waker.ts';
import { Deadline } from '../../net/deadline.ts';
import { throughProxy } from '../../net/http-post.ts';
import { endpointOf, type Proxies } from '../../net/proxy/proxy.ts';
import { openTunnel } from '../../net/proxy/tunnel.ts';
import { loadTls } from '../../net/tls.ts';
import { http } from '../../node-http.ts';

/** How connections are made. */
export interface ConnectOptions {
  readonly tls: ClientTls | undefined;
  readonly proxies: Proxies;
  /** How long it may take, in milliseconds. */
  readonly timeout: number;
}

/** Opens connections to one server, through a proxy and with TLS as configured, and keeps them for later requests. */
export class ConnectingAgent extends http.Agent {
  readonly #url: URL;
  readonly #connect: ConnectOptions;
  readonly #closing = new AbortController();

  /** `url` names the scheme, the host and the port. */
  constructor(url: URL, options: ConnectOptions, agent: AgentOptions) {
    super({ ...agent, keepAlive: true });
    this.#url = url;
    this.#connect = options;
  }

  /** Also for `https:` URLs: Node's client only writes to the socket that it gets. */
  override createConnection(
    _: ClientRequestArgs,
    done?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    this.open(this.#closing.signal).then(
      (socket) => done?.(null, socket),
      (error: unknown) => done?.(error as Error, undefined as unknown as Duplex),
    );
    return undefined;
  }

  /** Opens a connection. The caller owns it. @throws NotConnectedError or another Error with the reason; the signal's reason */
  async open(signal: AbortSignal): Promise<Duplex> {
    const { tls, proxies, timeout } = this.#connect;
    const deadline = new Deadline(signal, timeout);
    try {
      const url = this.#url;
      const secure = url.protocol === 'https:';
      const proxy = proxies.for(url);
      const { host, port } = endpointOf(url);
      const files = tls === undefined || !secure ? {} : await loadTls(tls);
      const tunnel = proxy && (await openTunnel(proxy, url, deadline).catch(throughProxy(proxy, deadline)));
      deadline.signal.throwIfAborted();
      const socket = secure
        ? connectTls({
            ...(tunnel === undefined ? { host, port, ...deadline.addressTimeout } : { socket: tunnel }),
            ...files,
            ALPNProtocols: ['http/1.1'],
            servername: tls?.server_name ?? (isIP(host) === 0 ? host : ''),
            host,
            rejectUnauthorized: tls?.insecure_skip_verify !== true,
          })
        : (tunnel ?? connect({ host, port, ...deadline.addressTimeout }));
      if (socket === tunnel) return socket;
      try {
        const connected = once(socket, secure ? 'secureConnect' : 'connect', { signal: deadline.signal });
        await abortable(connected, deadline.signal);
        return socket;
      } catch (error) {
        socket.on('error', () => {});
        socket.destroy();
        throw error;
      }
    } finally {
      deadline.clear();
    }
  }

  /** Cuts all connections, and those that are being made. */
  override destroy(): void {
    this.#closing.abort(new Error('closed'));
    super.destroy();
  }
}
