import { parseAddress } from '../../component/address.ts';
import { refuseOtherMode, tls } from '../../component/fields.ts';
import { checkSecretsKept } from './auth/check.ts';
import type { ServerConfig } from './fields.ts';

/** A server's settings before anything of them is known to fit together. */
export type UncheckedServer = {
  readonly [F in 'host' | 'port' | 'path' | 'tls' | 'auth' | 'protocols' | 'protocol_required']?:
    ServerConfig[F] | undefined;
} & { readonly url?: unknown };

/** Reports what a schema of fields alone cannot: what is missing, named twice, or does not fit together. */
export function checkServer(
  value: UncheckedServer,
  fail: (path: (string | number)[], message: string) => void,
): void {
  if (value.tls !== undefined) {
    refuseOtherMode(tls.shape, value.tls, 'server', (field, message) => fail(['tls', field], message));
    if (value.tls.cert_file === undefined) fail(['tls'], 'a server needs cert_file and key_file');
  }
  if (value.auth?.type === 'mtls' && value.tls?.ca_file === undefined) {
    fail(['auth'], 'mtls needs `tls.ca_file`, the authority of the clients’ certificates');
  }
  checkSecretsKept(value, fail);
  if (value.protocol_required === true && (value.protocols ?? []).length === 0) {
    fail(['protocol_required'], 'needs `protocols`');
  }
  if (value.url === undefined) {
    if (value.port === undefined)
      fail(['port'], 'missing; a server needs `port`, or `url` with the address to bind');
    return;
  }
  if (typeof value.url !== 'string') return fail(['url'], 'a list of URLs is for `mode: client`');
  const address = parseAddress(value.url);
  if (address === undefined) {
    return fail(['url'], 'not an address to bind; expected one like ws://0.0.0.0:8080/ws or 0.0.0.0:8080');
  }
  for (const name of ['host', 'port'] as const) {
    if (value[name] !== undefined) fail([name], 'given by `url` already; remove one of the two');
  }
  if (value.path !== undefined && address.path !== undefined && address.path !== '/') {
    fail(['path'], 'given by `url` already; remove one of the two');
  }
  if (address.secure && value.tls === undefined)
    fail(['tls'], 'missing; a wss:// address needs cert_file and key_file');
  if (/^ws:/i.test(value.url) && value.tls !== undefined)
    fail(['tls'], 'does not fit a ws:// address; use wss://');
}
