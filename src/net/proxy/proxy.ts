import type { Environment } from '../../component/context.ts';
import { maskUrl } from '../../component/mask.ts';
import { NotConnectedError } from '../../errors.ts';
import { bypassesProxy, isLoopback } from './no-proxy.ts';

const PROTOCOL = /^(?:https?|socks5h?|socks4a?):$/;

/** Reads a proxy URL like `http://host:3128` or `socks5://host:1080`; undefined if the text is not one. */
export function parseProxy(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || !PROTOCOL.test(url.protocol) || url.hostname === '') return undefined;
  try {
    decodeURIComponent(url.username + url.password);
    return url;
  } catch {
    return undefined;
  }
}

/** Chooses the proxy of a connection. */
export class Proxies {
  readonly #config: string | undefined;
  readonly #env: Environment;

  /** `config` is a URL or `none`; without it the environment decides. */
  constructor(config: string | undefined, env: Environment) {
    this.#config = config;
    this.#env = env;
  }

  /** The proxy for `target`, or undefined for none. @throws NotConnectedError when the environment's is not a URL */
  for(target: URL): URL | undefined {
    if (this.#config === 'none') return undefined;
    return this.#config === undefined ? this.#fromEnvironment(target) : parseProxy(this.#config);
  }

  #fromEnvironment(target: URL): URL | undefined {
    const { host, port } = endpointOf(target);
    if (isLoopback(host) || bypassesProxy(this.#variable('no_proxy')?.[1] ?? '', host, port))
      return undefined;
    const own = target.protocol.slice(0, -1);
    const http = /^(?:wss|https)$/.test(own) ? 'https_proxy' : 'http_proxy';
    const found = this.#variable(`${own}_proxy`) ?? this.#variable(http) ?? this.#variable('all_proxy');
    if (found === undefined) return undefined;
    const [name, text] = found;
    const proxy = parseProxy(text.includes('://') ? text : `http://${text}`);
    if (proxy !== undefined) return proxy;
    throw new NotConnectedError(
      `the environment variable ${name} does not hold a proxy; expected a URL like http://host:3128 or socks5://host:1080`,
    );
  }

  /** The name and value of a variable. The lower-case name takes precedence, as in other programs. */
  #variable(name: string): [name: string, value: string] | undefined {
    for (const each of [name, name.toUpperCase()]) {
      const value = this.#env[each];
      if (value !== undefined && value !== '') return [each, value];
    }
    return undefined;
  }
}

/** The host (IPv6 without brackets) and port of a URL. */
export function endpointOf(url: URL): { host: string; port: number } {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const standard = /^(?:wss|https):$/.test(url.protocol) ? 443 : 80;
  return { host, port: url.port === '' ? standard : Number(url.port) };
}

/** A proxy as it may be shown. */
export function shownProxy(proxy: URL): string {
  return maskUrl(proxy.href.replace(/\/$/, ''));
}
