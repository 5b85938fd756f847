import type { IncomingMessage } from 'node:http';

/**
 * What is wrong with a request to upgrade that Node lets through, or undefined. Each of these is read in one way here
 * and may be read in another by a proxy on the way, which is how requests are smuggled past it.
 */
export function upgradeFault({ headers, rawHeaders, httpVersion }: IncomingMessage): string | undefined {
  if (httpVersion !== '1.1') {
    // RFC 6455 section 4.2.1; RFC 9110 section 7.8 has servers ignore the Upgrade of an older request.
    return `A WebSocket needs HTTP/1.1, and this request says HTTP/${httpVersion}. Where a proxy has made it, tell the proxy to use 1.1.`;
  }
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts !== 1)
    return hosts === 0 ? 'The request has no Host header.' : 'The request has several Host headers.';
  // Its bytes would be taken for the first frames.
  const length = headers['content-length'] ?? '0';
  if (headers['transfer-encoding'] !== undefined || Number(length) !== 0) {
    return 'The request has a body, which a WebSocket handshake has not.';
  }
  return undefined;
}
