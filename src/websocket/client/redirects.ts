import { redirectTarget } from '../../net/request-target.ts';

const STATUSES = new Set([301, 302, 303, 307, 308]);

/** How many redirects one attempt follows. */
export const MAX_REDIRECTS = 5;

/** Where a request goes to, and what it asks for there. */
export interface Destination {
  readonly url: URL;
  readonly target: string;
}

/** Where an answer sends us: somewhere, or nowhere, because of `refusal`. */
export type Redirect = Destination | { readonly refusal: string };

/**
 * Reads an answer that is a redirect (RFC 9110 section 15.4); undefined when it is none. Only the same host and port is
 * followed, or `wss://` on the same host: credentials, and what the data is taken for, belong to that host. `shown` gives
 * a URL as it may be shown.
 */
export function redirectOf(
  { url: from, target: asked }: Destination,
  status: number,
  location: string | undefined,
  shown: (url: URL) => string,
): Redirect | undefined {
  if (!STATUSES.has(status)) return undefined;
  if (location === undefined) return { refusal: 'a redirect without a Location' };
  const url = URL.parse(location, from.href);
  if (url === null) return { refusal: 'a redirect to what is not a URL' };
  if (url.protocol === 'https:') url.protocol = 'wss:';
  if (url.protocol === 'http:') url.protocol = 'ws:';
  url.hash = '';
  const target = shown(url);
  if (!/^wss?:$/.test(url.protocol))
    return { refusal: `a redirect to ${target}, which is not a WebSocket URL` };
  const upgraded = from.protocol === 'ws:' && url.protocol === 'wss:';
  if (from.protocol === 'wss:' && url.protocol === 'ws:') {
    return { refusal: `a redirect to ${target}, which gives up TLS; it is not followed` };
  }
  if (url.hostname !== from.hostname || (url.port !== from.port && !upgraded)) {
    return {
      refusal: `a redirect to ${target}, another host; it is not followed. Use that URL if you trust it`,
    };
  }
  // The same host's credentials, whatever the answer says of them.
  url.username = from.username;
  url.password = from.password;
  return { url, target: redirectTarget(location, asked, url) };
}
