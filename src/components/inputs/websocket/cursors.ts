import { maskUrlAsWritten, urlKey } from '../../../component/mask.ts';
import { parseJsonPath } from '../../../message/json-path.ts';
import type { Context } from '../../../component/context.ts';
import { Cursor } from '../../../delivery/resume.ts';
import type { ClientInputConfig } from './config.ts';

/** The configuration of a client, or of one part of it. */
export type ConnectionConfig = ClientInputConfig & {
  /** The cursor of a part that shares its URL with others. */
  readonly sharedCursor?: Cursor | undefined;
};

/** The cursor of messages from `urls`, if `resume` asks for one; connections to one URL share theirs. */
export function cursorOf(
  config: ConnectionConfig,
  urls: readonly string[],
  { events, stream: { filled } }: Context,
): Cursor | undefined {
  const { resume, sharedCursor } = config;
  if (resume === undefined || sharedCursor !== undefined) return sharedCursor;
  return new Cursor({
    file: resume.path,
    // Without secrets, so that a new secret does not lose the cursor; the same in any order of the URLs.
    key: keyOf(urls, (url) => urlKey(url, filled)),
    formerKey: keyOf(urls, maskUrlAsWritten),
    path: parseJsonPath(resume.cursor)!,
    rewind: resume.rewind,
    events,
  });
}

/** The name under which a log or a file keeps the data of these URLs. */
export function keyOf(urls: readonly string[], mask: (url: string) => string): string {
  return urls.map(mask).toSorted().join(' ');
}
