import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv4 } from 'node:net';

/** An IPv4 address written as an IPv6 one (RFC 4291 section 2.5.5.2). */
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** The proxies that are trusted to name the client. */
export class TrustedProxies {
  readonly #ranges = new BlockList();
  readonly #some: boolean;

  /** Addresses, and ranges such as `10.0.0.0/8`. */
  constructor(ranges: readonly string[]) {
    this.#some = ranges.length > 0;
    for (const range of ranges) {
      const [address = '', bits] = range.split('/');
      const plain = plainAddress(address);
      const family = familyOf(plain);
      // A mapped range is an IPv4 range whose prefix is 96 bits longer.
      const length = bits === undefined ? undefined : Number(bits) - (plain === address ? 0 : 96);
      if (length === undefined) this.#ranges.addAddress(plain, family);
      else if (length >= 0) this.#ranges.addSubnet(plain, length, family);
      else this.#ranges.addSubnet(address, Number(bits), 'ipv6');
    }
  }

  /**
   * The address of the client. `X-Forwarded-For` is read from its right end, where the nearest proxy wrote, and only as
   * far as trusted proxies wrote it: the client itself could have sent everything further left.
   */
  clientAddress(request: IncomingMessage): string {
    let client = plainAddress(request.socket.remoteAddress ?? '');
    if (!this.#some) return client;
    const entries = valueOf(request, 'x-forwarded-for')?.split(',') ?? [];
    while (this.#trusts(client)) {
      const entry = entries.pop();
      const before = entry === undefined ? undefined : parseEntry(entry.trim());
      // An unreadable entry names nobody: the proxy that passed it on is the last known address.
      if (before === undefined) break;
      client = before;
    }
    return client;
  }

  /** The host or scheme that the client asked for, as a trusted proxy reports it. Of several, the first. */
  forwarded(request: IncomingMessage, name: 'x-forwarded-host' | 'x-forwarded-proto'): string | undefined {
    if (!this.#some || !this.#trusts(plainAddress(request.socket.remoteAddress ?? ''))) return undefined;
    return valueOf(request, name)?.split(',')[0]?.trim() || undefined;
  }

  #trusts(address: string): boolean {
    return isIP(address) !== 0 && this.#ranges.check(address, familyOf(address));
  }
}

/** The address by which limits count a host: for IPv6 the /64, because one host has all of it. */
export function addressGroup(address: string): string {
  if (isIPv4(address) || isIP(address) === 0) return address;
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

/** Removes a zone, and unmaps IPv4. */
function plainAddress(address: string): string {
  const unzoned = address.replace(/%.*$/, '');
  return MAPPED.exec(unzoned)?.[1] ?? unzoned;
}

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`; also in quotes. */
function parseEntry(entry: string): string | undefined {
  const text = entry.replace(/^"(.*)"$/, '$1');
  const address = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  const plain = plainAddress(address);
  return isIP(plain) === 0 ? undefined : plain;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6';
}

/** The values of all headers of that name, in order. */
function valueOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
