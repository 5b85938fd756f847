import { missingInSessions, missingOnPath } from '../../../websocket/server/session-entries.ts';
import { bindAddress } from '../../../websocket/server/server-schema.ts';
import type { Fail } from '../../../component/settings.ts';

type Settings = Parameters<typeof missingInSessions>[0] &
  Parameters<typeof bindAddress>[0] & { readonly match?: Readonly<Record<string, unknown>> | undefined };

/**
 * Reports entries of `match` that no session will have, so that nobody would ever get a message. If the output does
 * not listen itself, only the path is known.
 */
export function checkMatch(value: Settings, listens: boolean, fail: Fail): void {
  for (const entry of Object.keys(value.match ?? {})) {
    const missing = listens ? missingInSessions(value, entry) : missingOnPath(bindAddress(value).path, entry);
    if (missing !== undefined) fail(['match', entry], `no session has it: ${missing}`);
  }
}
