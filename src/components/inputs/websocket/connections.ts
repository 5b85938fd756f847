import type { Context, Durability } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { JoinedSources } from '../../../component/joined-sources.ts';
import { maskUrlAsWritten, urlKey } from '../../../component/mask.ts';
import { MillraceError } from '../../../errors.ts';
import { parseJsonPath } from '../../../message/json-path.ts';
import type { Cursor } from '../../../delivery/resume.ts';
import { Dedupe } from '../../../delivery/dedupe.ts';
import { bindAddress, type ServerConfig } from '../../../websocket/server/fields.ts';
import type { WebSocketInputConfig } from './config.ts';
import { cursorOf, keyOf } from './cursors.ts';

/** The configuration of an input, or of one that is a part of it. */
export type ConnectionConfig = WebSocketInputConfig & {
  /** Of a part that shares its URL with others. */
  readonly sharedCursor?: Cursor | undefined;
};

/**
 * The parts of an input that is made of several, joined: one for each URL, and of each as many as `redundancy` says.
 * Undefined for an input that is one connection. Parts have no codec and no `dedupe`: those are for all together.
 */
export function joinedConnections(config: ConnectionConfig, context: Context): Input | undefined {
  const { dedupe, redundancy = 1, strategy = 'all' } = config;
  const urls = strategy === 'all' && Array.isArray(config.url) ? config.url : [config.url];
  const part: ConnectionConfig = { ...config, dedupe: undefined, strategy: undefined };
  let parts: ConnectionConfig[];
  if (urls.length > 1) parts = urls.map((url) => ({ ...part, url }));
  else if (redundancy > 1) {
    const [url] = urls as [string];
    const sharedCursor = cursorOf(config, [url], context.events);
    parts = Array.from({ length: redundancy }, () => ({ ...part, url, redundancy: 1, sharedCursor }));
  } else if (dedupe !== undefined) parts = [{ ...part, strategy: config.strategy }];
  else return undefined;
  const sources = parts.map((each) =>
    context.open('input', { ...each, type: 'websocket', codec: undefined }),
  );
  return new JoinedSources(sources, {
    ready: urls.length > 1 ? 'every' : 'some',
    ...filterOf(config, context),
  });
}

function filterOf(config: ConnectionConfig, { events, stream: { durability } }: Context) {
  if (config.dedupe === undefined) return undefined;
  const {
    key,
    window,
    max_keys: maxKeys,
    per = config.mode === 'server' ? 'subject' : 'all',
  } = config.dedupe;
  // Not the name of what it is a part of, which others may be as well.
  const { name } = config as { readonly name?: string };
  const partsOf = (mask: (url: string) => string): string[] => [name ?? addressOf(config, mask), key, per];
  const space = JSON.stringify([...partsOf(urlKey), 'typed']);
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

/** @throws MillraceError: after a restart each would drop what only the other has had */
function checkShared(shared: boolean): void {
  if (!shared) return;
  throw new MillraceError(
    'MILLRACE_CONFIG_INVALID',
    'the log could not tell the keys of this input from those of another of the stream; expected a `name` of its own',
    { field: 'dedupe', fatal: true },
  );
}

/** The same at each start, also with other secrets, so that what the log remembers is found again. */
function addressOf(config: ConnectionConfig, mask: (url: string) => string): string {
  if (config.mode === 'client') return keyOf([config.url as string | string[]].flat(), mask);
  const { host, port, path } = bindAddress(config as ServerConfig);
  return `${host}:${port}${path}`;
}
