import { bindAddress } from '../../../websocket/server/fields.ts';
import type { WebSocketOutputConfig } from './config.ts';

type Settings = Pick<
  WebSocketOutputConfig,
  'match' | 'url' | 'host' | 'port' | 'path' | 'metadata' | 'auth' | 'protocols'
>;

/**
 * Reports entries of `match` that no session will have, so that nobody would ever get a message. Where the output does
 * not listen itself, only the path is known.
 */
export function checkMatch(
  value: Settings,
  listens: boolean,
  fail: (path: string[], message: string) => void,
): void {
  for (const entry of Object.keys(value.match ?? {})) {
    const missing = missingFor(value, listens, entry);
    if (missing !== undefined) fail(['match', entry], `no session has it: ${missing}`);
  }
}

function missingFor(value: Settings, listens: boolean, entry: string): string | undefined {
  const [kind = '', ...rest] = entry.split('.');
  const name = rest.join('.');
  const { path } = bindAddress(value);
  if (kind === 'param' && !path.split('/').includes(`:${name}`)) return `${path} has no parameter :${name}`;
  if (kind === 'header' && name !== name.toLowerCase()) return 'headers are kept in lower case';
  if (!listens) return undefined;
  const { metadata, auth } = value;
  if (kind === 'header' && !(metadata?.headers ?? []).includes(name)) return 'add it to `metadata.headers`';
  if (kind === 'query' && !(metadata?.query ?? []).includes(name)) return 'add it to `metadata.query`';
  if (kind === 'subject' && auth === undefined) return 'without `auth` it is not known who they are';
  if (kind !== 'claim') return undefined;
  if (auth?.type !== 'jwt') return 'claims are those of `auth: { type: jwt }`';
  return (auth.claims ?? []).includes(name) ? undefined : 'add it to `auth.claims`';
}
