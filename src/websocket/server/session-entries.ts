import type { ServerConfig } from './server-schema.ts';
import { bindAddress } from './server-schema.ts';

const ENTRY = /^(?:session_id|remote_address|path|protocol|subject|(?:param|query|header|claim)\..+)$/;

/** The settings that decide which entries a server's sessions have in their `__meta_ext`. */
type Settings = Pick<ServerConfig, 'url' | 'host' | 'port' | 'path' | 'metadata' | 'auth'>;

/** Whether sessions of any server can have an entry with this name. */
export function isSessionEntry(entry: string): boolean {
  return ENTRY.test(entry);
}

/** Why no session on this path has an entry, or undefined if some may. */
export function missingOnPath(path: string, entry: string): string | undefined {
  const { kind, name } = partsOf(entry);
  if (kind === 'param' && !path.split('/').includes(`:${name}`)) return `${path} has no parameter :${name}`;
  return kind === 'header' && name !== name.toLowerCase() ? 'headers are kept in lower case' : undefined;
}

/** Why no session of this server has an entry, or undefined if some may. */
export function missingInSessions(value: Settings, entry: string): string | undefined {
  const { metadata, auth } = value;
  const { path } = bindAddress(value);
  const missing = missingOnPath(path, entry);
  if (missing !== undefined) return missing;
  const { kind, name } = partsOf(entry);
  if (kind === 'header' && !metadata.headers.includes(name)) return 'add it to `metadata.headers`';
  if (kind === 'query' && !metadata.query.includes(name)) return 'add it to `metadata.query`';
  if (kind === 'subject' && auth === undefined) return 'without `auth`, clients have no subject';
  if (kind !== 'claim') return undefined;
  if (auth?.type !== 'jwt') return 'claims need `auth: { type: jwt }`';
  return (auth.claims ?? []).includes(name) ? undefined : 'add it to `auth.claims`';
}

function partsOf(entry: string): { kind: string; name: string } {
  const [kind = '', ...rest] = entry.split('.');
  return { kind, name: rest.join('.') };
}
