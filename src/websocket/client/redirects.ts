import { redirectTarget } from '../../net/request-target.ts';

const STATUSES = new Set([301, 302, 303, 307, 308]);

/** The most redirects that one attempt follows. */
export const MAX_REDIRECTS = 5;

/** Where a request goes, and its target there. */
export interface Destination {
  readonly url: URL;
  readonly target: string;
}

/** The destination of an answer, or the reason not to follow it. */
export type Redirect = Destination | { readonly refusal: string };

/**
 * Reads a redirect (RFC 9110 section 15.4); undefined if the answer is not one. Follows only the same host and port,
 * or `wss://` on the same host: the credentials, and the trust in the data, belong to that host. `shown` gives a URL in
 * a form that may be shown.
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
  if (url === null) return { refusal: 'a redirect to an invalid URL' };
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
  // The same host's credentials, whatever the answer says about them.
  url.username = from.username;
  url.password = from.password;
  return { url, target: redirectTarget(location, asked, url) };
}
