import type { Context, Durability } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { JoinedSources } from '../../../component/joined-sources.ts';
import { maskUrlAsWritten, urlKey } from '../../../component/mask.ts';
import { MillraceError } from '../../../errors.ts';
import { parseJsonPath } from '../../../message/json-path.ts';
import { Dedupe } from '../../../delivery/dedupe.ts';
import { bindAddress } from '../../../websocket/server/server-schema.ts';
import type { ServerInputConfig } from './config.ts';
import { cursorOf, keyOf, type ConnectionConfig } from './cursors.ts';

/**
 * The parts of an input that joins several: `redundancy` of them for each URL. Undefined for an input that is one
 * connection. Parts have no codec and no `dedupe`: those apply to all together.
 */
export function joinedConnections(
  config: ConnectionConfig | ServerInputConfig,
  context: Context,
): Input | undefined {
  const parts = config.mode === 'client' ? clientParts(config, context) : serverParts(config);
  if (parts === undefined) return undefined;
  const sources = parts.map((each) =>
    context.open('input', { ...each, type: 'websocket', codec: undefined, dedupe: undefined }),
  );
  const several = config.mode === 'client' && config.strategy === 'all' && [config.url].flat().length > 1;
  return new JoinedSources(sources, { ready: several ? 'every' : 'some', ...filterOf(config, context) });
}

function serverParts(config: ServerInputConfig): ServerInputConfig[] | undefined {
  return config.dedupe === undefined ? undefined : [config];
}

function clientParts(config: ConnectionConfig, context: Context): ConnectionConfig[] | undefined {
  const { dedupe, redundancy, strategy, url } = config;
  if (strategy === 'all' && Array.isArray(url) && url.length > 1) {
    if (config.resume !== undefined) checkCursorKeys(url, context);
    return url.map((each) => ({ ...config, url: each }));
  }
  if (redundancy > 1) {
    const [first] = [url].flat() as [string];
    const sharedCursor = cursorOf(config, [first], context);
    return Array.from({ length: redundancy }, () => ({ ...config, url: first, redundancy: 1, sharedCursor }));
  }
  return dedupe === undefined ? undefined : [config];
}

/**
 * The file of cursors has no secrets in it, so URLs that differ only in these would share a cursor.
 * @throws MillraceError for the first such URL
 */
function checkCursorKeys(urls: readonly string[], { stream: { filled } }: Context): void {
  const keys = urls.map((url) => urlKey(url, filled));
  for (const [index, key] of keys.entries()) {
    const first = keys.indexOf(key);
    if (first === index) continue;
    throw new MillraceError(
      'MILLRACE_CONFIG_INVALID',
      `differs from url[${first}] only in its secrets, and would share its cursor; make two inputs of them, each with a \`resume.path\` of its own`,
      { field: `url.${index}`, fatal: true },
    );
  }
}

function filterOf(
  config: ConnectionConfig | ServerInputConfig,
  { events, stream: { durability, filled } }: Context,
) {
  if (config.dedupe === undefined) return undefined;
  const { key, window, max_keys: maxKeys, per } = config.dedupe;
  // Not the name of the component around it, which other parts may share.
  const { name } = config as { readonly name?: string };
  const partsOf = (mask: (url: string) => string): string[] => [name ?? addressOf(config, mask), key, per];
  const space = JSON.stringify([...partsOf((url) => urlKey(url, filled)), 'typed']);
  const shared = durability !== undefined && isClaimed(space, durability);
  const dedupe = new Dedupe({
    path: parseJsonPath(key)!,
    per,
    window,
    maxKeys,
    space,
    formerSpace: JSON.stringify(partsOf(maskUrlAsWritten)),
    durability,
    dropped: (count) => events.duplicatesDropped(count),
  });
  return { filter: dedupe.filter.bind(dedupe), check: () => checkShared(shared) };
}

const claimed = new WeakMap<Durability, Set<string>>();

/** Whether another input of the stream keeps its keys under this name; from now on this one does. */
function isClaimed(space: string, durability: Durability): boolean {
  const spaces = claimed.get(durability) ?? new Set();
  const shared = spaces.has(space);
  claimed.set(durability, spaces.add(space));
  return shared;
}

/** @throws MillraceError because after a restart each would drop messages that only the other has had */
function checkShared(shared: boolean): void {
  if (!shared) return;
  throw new MillraceError(
    'MILLRACE_CONFIG_INVALID',
    'the log could not tell the keys of this input from those of another input of the stream; expected a `name` of its own',
    { field: 'dedupe', fatal: true },
  );
}

/** The same at each start, even with other secrets, so that the keys in the log are found again. */
function addressOf(config: ConnectionConfig | ServerInputConfig, mask: (url: string) => string): string {
  if (config.mode === 'client') return keyOf([config.url].flat(), mask);
  const { host, port, path } = bindAddress(config);
  return `${host}:${port}${path}`;
}
