import { lookup } from 'node:dns/promises';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, isIP, type Socket } from 'node:net';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { formatAddress } from '../../component/address.ts';
import { type Deadline } from '../deadline.ts';
import { abortable } from '../../component/waker.ts';
import { http } from '../../node-http.ts';
import { endpointOf } from './proxy.ts';
import { Secrets } from '../attempt-secrets.ts';

/** The port of a SOCKS proxy whose URL has none (RFC 1928 section 3). */
const SOCKS_PORT = 1080;

/**
 * Connects to `target` through a proxy. If the signal aborts before this resolves, the socket ends; afterwards the
 * caller owns it.
 * @throws Error that says what the proxy did, or the signal's reason
 */
export async function openTunnel(proxy: URL, target: URL, deadline: Deadline): Promise<Socket> {
  const { signal } = deadline;
  signal.throwIfAborted();
  const tunnel = proxy.protocol.startsWith('socks') ? socksTunnel : httpTunnel;
  try {
    return await tunnel(proxy, target, deadline);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** For `createConnection` of Node's HTTP client: the tunnel's own socket, or TLS over it. */
export function overTunnel(tunnel: Socket, secure: boolean) {
  return (options: { host?: string | null | undefined; servername?: string | undefined }): Socket => {
    if (!secure) return tunnel;
    const host = options.host ?? '';
    const servername = options.servername ?? (isIP(host) === 0 ? host : '');
    return connectTls({ ...options, host, servername, socket: tunnel });
  };
}

/** Uses CONNECT (RFC 9110 section 9.3.6), for `ws://` too: a proxy that reads the traffic may not know WebSocket. */
async function httpTunnel(proxy: URL, target: URL, deadline: Deadline): Promise<Socket> {
  const { signal, addressTimeout } = deadline;
  const { host, port } = endpointOf(proxy);
  const { host: targetHost, port: targetPort } = endpointOf(target);
  const authority = formatAddress(targetHost, targetPort);
  const request = (proxy.protocol === 'https:' ? httpsRequest : http.request)({
    host,
    port,
    ...addressTimeout,
    // Node would take the name from the Host header, which is the target's.
    servername: isIP(host) === 0 ? host : '',
    method: 'CONNECT',
    path: authority,
    headers: { host: authority, ...(proxy.username !== '' && { 'proxy-authorization': basicOf(proxy) }) },
    agent: false,
    signal,
  });
  return await new Promise((resolve, reject) => {
    const refused = ({ statusCode, statusMessage }: IncomingMessage): void => {
      request.destroy();
      const secrets = new Secrets();
      secrets.addRequest({ url: proxy, headers: {}, protocols: [] });
      const hint = statusCode === 407 ? '; it wants other credentials in its URL' : '';
      const said = secrets.mask(`${statusCode} ${statusMessage}`.trim());
      reject(new Error(`the proxy answered ${said}${hint}`));
    };
    request.once('connect', (response, socket: Socket, head) => {
      if (response.statusCode === undefined || response.statusCode < 200 || response.statusCode > 299) {
        socket.destroy();
        return refused(response);
      }
      // Handles errors until the next owner listens.
      socket.on('error', () => {});
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.once('response', refused);
    request.on('error', reject);
    request.end();
  });
}

async function socksTunnel(proxy: URL, target: URL, deadline: Deadline): Promise<Socket> {
  const { signal, timeout, addressTimeout } = deadline;
  // Loaded when needed: most streams have no proxy.
  const { SocksClient, SocksClientError } = await import('socks');
  signal.throwIfAborted();
  const { port } = endpointOf(target);
  const type = proxy.protocol.startsWith('socks4') ? 4 : 5;
  const server = { host: endpointOf(proxy).host, port: Number(proxy.port || SOCKS_PORT) };
  const socket = connect({ ...server, ...addressTimeout });
  socket.on('error', () => {});
  const abort = (): void => void socket.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await abortable(once(socket, 'connect', { signal }), signal);
    const host = await destination(proxy, endpointOf(target).host, signal);
    await SocksClient.createConnection({
      proxy: { ...server, type, ...credentialsOf(proxy) },
      destination: { host, port },
      command: 'connect',
      existing_socket: socket,
      // The library never clears its timer; ours ends the socket earlier.
      timeout,
    });
    signal.throwIfAborted();
    return socket;
  } catch (error) {
    socket.destroy();
    // The library's own error holds the proxy's credentials.
    throw error instanceof SocksClientError ? new Error(error.message) : error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** With `socks5` and `socks4`, names are resolved here; with `socks5h` and `socks4a`, by the proxy. */
async function destination(proxy: URL, host: string, signal: AbortSignal): Promise<string> {
  if (!/^socks[45]:$/.test(proxy.protocol) || isIP(host) !== 0) return host;
  const family = proxy.protocol === 'socks4:' ? 4 : 0;
  return (await abortable(lookup(host, { family }), signal)).address;
}

function credentialsOf(proxy: URL): { userId?: string; password?: string } {
  if (proxy.username === '') return {};
  return { userId: decodeURIComponent(proxy.username), password: decodeURIComponent(proxy.password) };
}

function basicOf(proxy: URL): string {
  const { userId = '', password = '' } = credentialsOf(proxy);
  return `Basic ${Buffer.from(`${userId}:${password}`).toString('base64')}`;
}
