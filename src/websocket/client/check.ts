import { Template } from '../../component/template.ts';
import type { AuthConfig } from '../auth-fields.ts';
import { attemptNames } from './values.ts';

/** What is looked at of a client's configuration. */
export interface CheckedClient {
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly protocols?: readonly string[] | undefined;
  readonly on_open?: readonly { readonly send?: unknown }[] | undefined;
  readonly heartbeat?: unknown;
  readonly auth?: AuthConfig | undefined;
  readonly resume?: unknown;
}

type Report = (path: (string | number)[], message: string) => void;

/** Reports what the fields of a client, each right by itself, get wrong together. `urls` are its URLs. */
export function checkClientConfig(config: CheckedClient, urls: readonly string[], report: Report): void {
  const { auth, headers = {} } = config;
  if (auth !== undefined) {
    const header = Object.keys(headers).find((name) => name.toLowerCase() === 'authorization');
    if (header !== undefined) report(['headers', header], 'is sent by `auth` already; remove one of the two');
    if (urls.some((url) => /^wss?:[/\\]*[^/\\?#]*@/i.test(url)))
      report(['auth'], 'the URL has a user of its own already; remove one of the two');
  }
  const hasToken = auth?.type === 'bearer' || auth?.type === 'oauth2';
  if (!hasToken) reportUses('token', 'the token needs `auth` of `type: bearer` or `oauth2`');
  if (config.resume === undefined) reportUses('cursor', 'the cursor needs `resume`');

  function reportUses(name: string, message: string): void {
    const { query, protocols, on_open, heartbeat } = config;
    const parts = { headers, query, protocols, on_open, heartbeat };
    for (const [field, value] of Object.entries(parts)) {
      for (const path of usesOf(name, value)) report([field, ...path], message);
    }
    if (urls.some((url) => uses(name, url))) report(['url'], message);
  }
}

/** Where in a value there are strings that name it. */
function usesOf(name: string, value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value === 'string') return uses(name, value) ? [path] : [];
  if (typeof value !== 'object' || value === null) return [];
  const isList = Array.isArray(value);
  return Object.entries(value).flatMap(([key, each]) =>
    usesOf(name, each, [...path, isList ? Number(key) : key]),
  );
}

function uses(name: string, text: string): boolean {
  if (!text.includes('{{')) return false;
  try {
    return Template.parse(text, attemptNames).uses(name);
  } catch {
    // Reported elsewhere; or it is no template at all, but something to match.
    return false;
  }
}
