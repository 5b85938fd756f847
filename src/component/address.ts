import { isIPv4, isIPv6 } from 'node:net';

/** Where to listen. */
export interface Address {
  /** A name or an IP address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** The path as written, not decoded; undefined when the text has none. */
  readonly path: string | undefined;
  /** True for `wss://`. */
  readonly secure: boolean;
}

const FORM = /^(?:(wss?):\/\/)?(\[[^\]]+\]|[^\s:/?#@[\]]+)(?::(\d{1,5}))?(\/[!-~]*)?$/i;

/**
 * Reads `host:port`, `ws://host[:port][/path]` and `wss://…`. IPv6 hosts stand in brackets. Without a port, `ws` is
 * 80 and `wss` 443. Undefined for anything else: an address to listen on has no credentials, query or fragment.
 */
export function parseAddress(text: string): Address | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const [, scheme, written = '', digits, path] = match;
  const secure = scheme?.toLowerCase() === 'wss';
  if (scheme === undefined && (digits === undefined || path !== undefined)) return undefined;
  if (path !== undefined && /[?#]/.test(path)) return undefined;
  const port = digits === undefined ? (secure ? 443 : 80) : Number(digits);
  const host = parseHost(written);
  return host === undefined || port > 65_535 ? undefined : { host, port, path, secure };
}

/** `host:port`, with an IPv6 host in brackets. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseHost(written: string): string | undefined {
  if (written.startsWith('[')) {
    const host = written.slice(1, -1);
    return isIPv6(host) ? host : undefined;
  }
  // A host whose last label is a number is an IPv4 address and nothing else (WHATWG URL, "ends in a number").
  if (/(^|\.)\d+\.?$/.test(written)) return isIPv4(written) ? written : undefined;
  const labels = written.replace(/\.$/, '').split('.');
  const isName = written.length <= 253 && labels.every((label) => /^[a-z0-9_][a-z0-9_-]{0,62}$/i.test(label));
  return isName ? written : undefined;
}
