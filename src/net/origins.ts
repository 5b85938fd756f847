import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { TrustedProxies } from './proxies.ts';

/** An origin as RFC 6454 section 6.2 writes it, or one of the configuration with `*.` before its host. */
interface Origin {
  readonly scheme: string;
  /** In lower case, with brackets where it is IPv6. */
  readonly host: string;
  /** Empty for a scheme that has no default port and where none is given. */
  readonly port: string;
  readonly wildcard: boolean;
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443', ws: '80', wss: '443' };

/** Nothing but scheme, host and port: no user, no path, nothing that a URL parser would take out or turn round. */
const FORM = /^([a-z][a-z0-9+.-]*):\/\/(\*\.)?(\[[0-9a-f:.]+\]|[^\s/\\?#@:[\]*%,]+)(?::(\d{1,5}))?$/i;

/** Of pages that come from no host: Electron, Cordova and others send `file://`. */
const HOSTLESS = /^(?!(?:http|ws)s?:)[a-z][a-z0-9+.-]*:\/\/$/i;

/** Whether an origin is compared as it stands: `null`, or one without a host, such as `file://`. */
export function isOriginWord(text: string): boolean {
  return text === 'null' || HOSTLESS.test(text);
}

/** The parts of an origin, or undefined for what is none. `wildcards` allows `*.` before the host. */
export function parseOrigin(text: string, wildcards = false): Origin | undefined {
  const [, scheme = '', wildcard, host = '', port] = FORM.exec(text) ?? [];
  if (scheme === '' || (wildcard !== undefined && !wildcards) || Number(port ?? 0) > 65_535) return undefined;
  const known = scheme.toLowerCase();
  // Names in other scripts are compared as browsers send them.
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
 * Which web pages may connect. A browser lets every page open a WebSocket to every host, with the user's cookies; only
 * the server can tell them apart, by their origin (RFC 6455 section 10.2). Who is no browser need not send one.
 */
export class OriginPolicy {
  readonly #proxies: TrustedProxies;
  readonly #words: ReadonlySet<string>;
  readonly #origins: readonly Origin[] | undefined;

  /** Without `allowed`, pages of the same host and port. */
  constructor(allowed: readonly string[] | undefined, proxies: TrustedProxies) {
    this.#proxies = proxies;
    const words = allowed?.filter((each) => each === '*' || isOriginWord(each)) ?? [];
    this.#words = new Set(words.map((each) => each.toLowerCase()));
    this.#origins = allowed?.map((each) => parseOrigin(each, true)).filter((each) => each !== undefined);
  }

  allows(request: IncomingMessage): boolean {
    // Several headers arrive as one with commas, which is no origin.
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
    // Where nobody says whether it came by TLS (a proxy may have taken that off), a host without a port is on the
    // default port of either scheme.
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
