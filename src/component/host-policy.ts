import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { z } from 'zod';

const PATTERN = /^(?:\*|(?:\*\.)?[^\s/\\?#@:[\]*%,]+|\[?[0-9a-f:.]+\]?)$/i;

/** The names by which requests may address a server. */
export const allowedHosts = z.array(
  z
    .string()
    .refine(
      (value) => PATTERN.test(value) && (value === '*' || hostOf(value.replace(/^\*\./, '')) !== undefined),
      'not a host; expected one like feed.example.com, *.example.com or *, without a port',
    ),
);

/**
 * Which names requests may have in `Host`. A page of any site can make its own name lead to this machine (DNS
 * rebinding), and then has the same origin as the server here. It cannot do so with an IP address or with
 * `localhost`, so these always pass.
 */
export class HostPolicy {
  readonly #allowed: readonly string[] | undefined;

  /** Without `allowed`, only names by which a machine knows itself pass; see `isOwn`. */
  constructor(allowed: readonly string[] | undefined) {
    this.#allowed = allowed?.map((each) => (each === '*' ? each : plainPattern(each)));
  }

  /** Whether the file lists the names. */
  get given(): boolean {
    return this.#allowed !== undefined;
  }

  /** `host` as a header has it, with its port. A request without one does not come from a browser. */
  allows(host: string | undefined): boolean {
    if (host === undefined || this.#allowed?.includes('*') === true) return true;
    const name = hostOf(host);
    if (name === undefined) return false;
    if (isAddress(name) || name === 'localhost' || name.endsWith('.localhost')) return true;
    if (this.#allowed === undefined) return isOwn(name);
    return this.#allowed.some((each) =>
      each.startsWith('*.') ? name.endsWith(each.slice(1)) && name.length >= each.length : each === name,
    );
  }
}

/** Whether a request comes from this machine to itself, as the pages of a browser on it can send. */
export function isFromHere({ socket }: IncomingMessage): boolean {
  return /^(?:::ffff:)?127\.|^::1$/.test(socket.localAddress ?? '');
}

/** The name in a `Host` header, without port and final dot, in lower case; undefined if it has none. */
function hostOf(host: string): string | undefined {
  if (isIP(host) === 6) return `[${host.toLowerCase()}]`;
  const [, name] = /^(\[[0-9a-f:.]+\]|[^\s/\\?#@:[\]*%,]+)(?::\d{0,5})?$/i.exec(host) ?? [];
  // Names in other scripts are compared as browsers send them.
  return name === undefined ? undefined : URL.parse(`http://${name}`)?.hostname.replace(/\.$/, '');
}

function plainPattern(pattern: string): string {
  const wildcard = pattern.startsWith('*.') ? '*.' : '';
  return `${wildcard}${hostOf(pattern.slice(wildcard.length))}`;
}

function isAddress(name: string): boolean {
  return name.startsWith('[') || isIP(name) !== 0;
}

/** The machine's own name, for a page that is opened under it. No other site decides where that name leads. */
function isOwn(name: string): boolean {
  return name === hostname().toLowerCase();
}
