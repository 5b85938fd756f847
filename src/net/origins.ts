import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { TrustedProxies } from './proxies.ts';

/** An origin as in RFC 6454 section 6.2, or one of the configuration with `*.` before its host. */
interface Origin {
  readonly scheme: string;
  /** In lower case; an IPv6 address has brackets. */
  readonly host: string;
  /** Empty where none is given and the scheme has no default port. */
  readonly port: string;
  readonly wildcard: boolean;
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443', ws: '80', wss: '443' };

/** Only scheme, host and port: no user, no path, nothing that a URL parser would remove or rewrite. */
const FORM = /^([a-z][a-z0-9+.-]*):\/\/(\*\.)?(\[[0-9a-f:.]+\]|[^\s/\\?#@:[\]*%,]+)(?::(\d{1,5}))?$/i;

/** The origin of pages that no host served: Electron, Cordova and others send `file://`. */
const HOSTLESS = /^(?!(?:http|ws)s?:)[a-z][a-z0-9+.-]*:\/\/$/i;

/** Whether an origin is compared literally: `null`, or one without a host, such as `file://`. */
export function isOriginWord(text: string): boolean {
  return text === 'null' || HOSTLESS.test(text);
}

/** The parts of an origin, or undefined if the text is not one. `wildcards` allows `*.` before the host. */
export function parseOrigin(text: string, wildcards = false): Origin | undefined {
  const [, scheme = '', wildcard, host = '', port] = FORM.exec(text) ?? [];
  if (scheme === '' || (wildcard !== undefined && !wildcards) || Number(port ?? 0) > 65_535) return undefined;
  const known = scheme.toLowerCase();
  // Compares names in other scripts in the form that browsers send.
  const plain = known in DEFAULT_PORTS ? URL.parse(`http://${host}`)?.hostname : host.toLowerCase();
  if (plain === undefined) return undefined;
  return {
    scheme: known,
    host: plain,
    port: port === undefined ? (DEFAULT_PORTS[known] ?? '') : String(Number(port)),
    wildcard: wildcard !== undefined,
  };
}

/**
 * Decides which web pages may connect. A browser lets every page open a WebSocket to every host, with the user's
 * cookies; only the server can tell pages apart, by their origin (RFC 6455 section 10.2). Other clients may omit it.
 */
export class OriginPolicy {
  readonly #proxies: TrustedProxies;
  readonly #words: ReadonlySet<string>;
  readonly #origins: readonly Origin[] | undefined;

  /** Without `allowed`, only pages of the same host and port may connect. */
  constructor(allowed: readonly string[] | undefined, proxies: TrustedProxies) {
    this.#proxies = proxies;
    const words = allowed?.filter((each) => each === '*' || isOriginWord(each)) ?? [];
    this.#words = new Set(words.map((each) => each.toLowerCase()));
    this.#origins = allowed?.map((each) => parseOrigin(each, true)).filter((each) => each !== undefined);
  }

  allows(request: IncomingMessage): boolean {
    // Node joins several headers with commas, which never make an origin.
    const { origin: text } = request.headers;
    if (text === undefined || this.#words.has('*')) return true;
    if (isOriginWord(text)) return this.#words.has(text.toLowerCase());
    const origin = parseOrigin(text);
    if (origin === undefined) return false;
    return this.#origins?.some((allowed) => covers(allowed, origin)) ?? this.#isSameHost(request, origin);
  }

  #isSameHost(request: IncomingMessage, origin: Origin): boolean {
    const host = this.#proxies.forwarded(request, 'x-forwarded-host') ?? request.headers.host;
    const secure = this.#isSecure(request);
    // Where it is not known whether the request used TLS (a proxy may have terminated it), a host without a port may be
    // on the default port of either scheme.
    const scheme = secure === undefined ? origin.scheme : secure ? 'https' : 'http';
    const own = host === undefined ? undefined : parseOrigin(`${scheme}://${host}`);
    return own !== undefined && own.host === origin.host && own.port === origin.port;
  }

  #isSecure(request: IncomingMessage): boolean | undefined {
    const proto = this.#proxies.forwarded(request, 'x-forwarded-proto')?.toLowerCase();
    if (proto !== undefined) return proto === 'https' || proto === 'wss';
    return (request.socket as TLSSocket).encrypted ? true : undefined;
  }
}

function covers(allowed: Origin, origin: Origin): boolean {
  if (allowed.scheme !== origin.scheme || allowed.port !== origin.port) return false;
  if (!allowed.wildcard) return allowed.host === origin.host;
  return origin.host.endsWith(`.${allowed.host}`) && origin.host.length > allowed.host.length + 1;
}
