import { BlockList, isIP } from 'node:net';

/** Whether `NO_PROXY` names `host` (IPv6 without brackets) at `port`, by the rules that curl and Go follow. */
export function bypassesProxy(noProxy: string, host: string, port: number): boolean {
  return noProxy
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => entry === '*' || matches(entry.toLowerCase(), host.toLowerCase(), port));
}

/** Loopback addresses never go through a proxy: to it, they mean another machine. */
export function isLoopback(host: string): boolean {
  return (
    /^(?:.*\.)?localhost\.?$/i.test(host) || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  );
}

/** `host`, `.host`, `*.host`, an address, or a range like `10.0.0.0/8`. All but a range may have a port. */
function matches(entry: string, host: string, port: number): boolean {
  const range = /^\[?([^[\]/]+)\]?\/(\d+)$/.exec(entry);
  if (range !== null) return inRange(range[1]!, Number(range[2]), host);
  if (isIP(entry) !== 0) return entry === host;
  const [, name = '', digits] = /^(.*?)(?::(\d+))?$/.exec(entry)!;
  if (digits !== undefined && Number(digits) !== port) return false;
  const bare = name.replace(/^\[(.*)\]$/, '$1');
  if (isIP(bare) !== 0) return bare === host;
  const domain = bare.replace(/^\*?\.?/, '').replace(/\.$/, '');
  const asked = host.replace(/\.$/, '');
  return domain !== '' && (asked === domain || asked.endsWith(`.${domain}`));
}

function inRange(network: string, prefix: number, host: string): boolean {
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  if (prefix > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, prefix, type);
  return list.check(host, type);
}
