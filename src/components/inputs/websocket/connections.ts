import type { Input, InputContext } from '../../../component/contracts.ts';
import { JoinedSources } from '../../../component/joined-sources.ts';
import { maskUrl } from '../../../component/mask.ts';
import { parseJsonPath } from '../../../message/json-path.ts';
import type { Cursor } from '../../../websocket/client/resume.ts';
import { Dedupe } from '../../../websocket/dedupe.ts';
import { bindAddress, type ServerConfig } from '../../../websocket/server/fields.ts';
import type { WebSocketInputConfig } from './config.ts';
import { cursorOf } from './cursors.ts';

/** The configuration of an input, or of one that is a part of it. */
export type ConnectionConfig = WebSocketInputConfig & {
  /** Of a part that shares its URL with others. */
  readonly sharedCursor?: Cursor | undefined;
};

/**
 * The parts of an input that is made of several, joined: one for each URL, and of each as many as `redundancy` says.
 * Undefined for an input that is one connection. Parts have no codec and no `dedupe`: those are for all together.
 */
export function joinedConnections(config: ConnectionConfig, context: InputContext): Input | undefined {
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
  const { name } = context;
  const sources = parts.map((each) =>
    context.openSource({ ...each, type: 'websocket', codec: undefined }, name),
  );
  return new JoinedSources(sources, {
    ready: urls.length > 1 ? 'every' : 'some',
    filter: filterOf(config, context),
  });
}

function filterOf(config: ConnectionConfig, { name, events, durability }: InputContext) {
  if (config.dedupe === undefined) return undefined;
  const {
    key,
    window,
    max_keys: maxKeys,
    per = config.mode === 'server' ? 'subject' : 'all',
  } = config.dedupe;
  const dedupe = new Dedupe({
    path: parseJsonPath(key)!,
    per,
    window,
    maxKeys,
    space: JSON.stringify([name ?? addressOf(config), key, per]),
    durability,
    dropped: (count) => events.duplicatesDropped(count),
  });
  return dedupe.filter.bind(dedupe);
}

/** The same at each start, also with other secrets, so that what the log remembers is found again. */
function addressOf(config: ConnectionConfig): string {
  if (config.mode === 'client')
    return [config.url as string | string[]].flat().map(maskUrl).toSorted().join(' ');
  const { host, port, path } = bindAddress(config as ServerConfig);
  return `${host}:${port}${path}`;
}
