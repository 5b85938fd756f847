import { parseAddress } from '../../component/address.ts';
import { givenOf, type Fail, type Given } from '../../component/settings.ts';
import { checkSecretsKept } from '../../net/auth/check.ts';
import { compileOutgoing } from '../messages.ts';
import { isSessionEntry, missingInSessions } from './session-entries.ts';
import { path, type ServerConfig } from './server-schema.ts';
import { sessionNames } from './session-names.ts';

/** Reports mistakes that a schema of single fields cannot: missing, duplicate or conflicting settings. */
export function checkServer(value: ServerConfig, given: Given<ServerConfig>, fail: Fail): void {
  if (value.auth?.type === 'mtls' && value.tls?.ca_file === undefined) {
    fail(['auth'], 'mtls needs `tls.ca_file`, the authority of the clients’ certificates');
  }
  checkSecretsKept(value, fail);
  checkLimits(value, fail);
  checkWelcome(value, fail);
  for (const [index, name] of value.protocols.entries())
    if (name.includes('{{')) fail(['protocols', index], 'only a client’s subprotocols can hold templates');
  if (value.protocol_required && value.protocols.length === 0) {
    fail(['protocol_required'], 'needs `protocols`');
  }
  if (value.url === undefined) {
    if (value.port === undefined)
      fail(['port'], 'missing; a server needs `port`, or `url` with the address to bind');
    return;
  }
  const address = parseAddress(value.url);
  if (address === undefined) {
    return fail(['url'], 'not an address to bind; expected one like ws://0.0.0.0:8080/ws or 0.0.0.0:8080');
  }
  const problem = path.safeParse(address.path ?? '/').error?.issues[0];
  if (problem !== undefined) fail(['url'], `its path: ${problem.message}`);
  for (const name of ['host', 'port'] as const) {
    if (given[name] !== undefined) fail([name], 'already given by `url`; remove one of the two');
  }
  if (given.path !== undefined && address.path !== undefined && address.path !== '/') {
    fail(['path'], 'already given by `url`; remove one of the two');
  }
  if (address.secure && value.tls === undefined)
    fail(['tls'], 'missing; a wss:// address needs cert_file and key_file');
  if (/^ws:/i.test(value.url) && value.tls !== undefined)
    fail(['tls'], 'does not fit a ws:// address; use wss://');
}

/** Reports limits that would never be reached. */
function checkLimits({ limits, auth }: ServerConfig, fail: Fail): void {
  if (limits.rate_per === 'subject' && auth === undefined)
    fail(['limits', 'rate_per'], 'needs `auth`, or no client has a subject');
  if (givenOf(limits).failed_logins === undefined) return;
  if (auth === undefined) fail(['limits', 'failed_logins'], 'needs `auth`');
  if (auth?.type === 'mtls')
    fail(['limits', 'failed_logins'], 'has no effect with mtls: nobody can guess a certificate');
}

/** Reports a message that no client would get, because it names an entry that no session has. */
function checkWelcome(value: ServerConfig, fail: Fail): void {
  if (value.welcome === undefined) return;
  let culprit = '';
  const missing = (entry: string): string | undefined =>
    isSessionEntry(entry) ? missingInSessions(value, entry) : 'see `__meta_ext` for the existing ones';
  try {
    compileOutgoing(
      value.welcome,
      sessionNames,
    )((name, entry = '') => {
      const why = name === 'meta' ? missing(entry) : undefined;
      if (why === undefined) return '';
      culprit = `{{meta:${entry}}}: no session has it: ${why}`;
      return undefined;
    });
  } catch {
    // A default would have been used. A malformed template is reported elsewhere.
    if (culprit !== '') fail(['welcome'], culprit);
  }
}
