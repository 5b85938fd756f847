import type { IncomingMessage } from 'node:http';

/**
 * Describes the fault of an upgrade request that Node lets through, or undefined. A proxy on the way may read such a
 * request differently, which is how requests are smuggled past it.
 */
export function upgradeFault({ headers, rawHeaders, httpVersion }: IncomingMessage): string | undefined {
  if (httpVersion !== '1.1') {
    // RFC 6455 section 4.2.1; RFC 9110 section 7.8 has servers ignore the Upgrade of an older request.
    return `A WebSocket needs HTTP/1.1, but this request says HTTP/${httpVersion}. If a proxy sent it, make the proxy use 1.1.`;
  }
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts !== 1)
    return hosts === 0 ? 'The request has no Host header.' : 'The request has several Host headers.';
  // Its bytes would be read as the first frames.
  const length = headers['content-length'] ?? '0';
  if (headers['transfer-encoding'] !== undefined || Number(length) !== 0) {
    return 'The request has a body, which a WebSocket handshake cannot have.';
  }
  return undefined;
}
