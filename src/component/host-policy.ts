import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { z } from 'zod';

const PATTERN = /^(?:\*|(?:\*\.)?[^\s/\\?#@:[\]*%,]+|\[?[0-9a-f:.]+\]?)$/i;

/** The names under which a server may be asked for. */
export const allowedHosts = z.array(
  z
    .string()
    .refine(
      (value) => PATTERN.test(value) && (value === '*' || hostOf(value.replace(/^\*\./, '')) !== undefined),
      'not a host; expected one like feed.example.com, *.example.com or *, without a port',
    ),
);

/**
 * Which names requests may ask for, in `Host`. A page of any site can have its own name lead to this machine (DNS
 * rebinding), and is then of the same origin as what answers here. It cannot do so with an IP address, nor with
 * `localhost`, so these always pass.
 */
export class HostPolicy {
  readonly #allowed: readonly string[] | undefined;

  /** Without `allowed`, those names alone by which a machine knows itself pass; see `isOwn`. */
  constructor(allowed: readonly string[] | undefined) {
    this.#allowed = allowed?.map((each) => (each === '*' ? each : plainPattern(each)));
  }

  /** Whether the file says which names there are. */
  get given(): boolean {
    return this.#allowed !== undefined;
  }

  /** `host` as a header has it, with its port; without one it is no browser that asks. */
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

/** Whether a request has come to this machine from itself, where the pages of a browser on it can send some. */
export function isFromHere({ socket }: IncomingMessage): boolean {
  return /^(?:::ffff:)?127\.|^::1$/.test(socket.localAddress ?? '');
}

/** The name in a `Host` header, without port and final dot, in lower case; undefined for what is none. */
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

/** The machine's own name, for a page that is opened under it. Nobody else says where it leads. */
function isOwn(name: string): boolean {
  return name === hostname().toLowerCase();
}
