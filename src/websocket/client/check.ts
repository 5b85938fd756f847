import { isSecretName } from '../../component/mask.ts';
import { Template } from '../../component/template.ts';
import type { Fail } from '../../component/settings.ts';
import { walkStrings } from '../messages.ts';
import { answerNames } from './answer.ts';
import type { ClientConfig } from './client-schema.ts';
import { isBareScheme } from './request.ts';

/** What is looked at of a client's configuration. */
export type CheckedClient = Pick<
  ClientConfig,
  'headers' | 'query' | 'protocols' | 'on_open' | 'heartbeat' | 'auth' | 'reconnect'
> & { readonly resume?: unknown };

/** Reports what the fields of a client, each right by itself, get wrong together. `urls` are its URLs. */
export function checkClientConfig(config: CheckedClient, urls: readonly string[], report: Fail): void {
  const { auth, headers, query } = config;
  const header = Object.keys(headers).find((name) => name.toLowerCase() === 'authorization');
  const hasUser = urls.some((url) => /^wss?:[/\\]*[^/\\?#]*@/i.test(url));
  const user = 'the URL has a user of its own already; remove one of the two';
  if (auth !== undefined) {
    if (header !== undefined) report(['headers', header], 'is sent by `auth` already; remove one of the two');
    if (hasUser) report(['auth'], user);
  } else if (header !== undefined && hasUser) report(['headers', header], user);
  for (const [field, values] of Object.entries({ headers, query })) {
    for (const [name, text] of Object.entries(values)) {
      const problem = text.includes('{{') ? undefined : credentialProblem(name, text);
      if (problem !== undefined) report([field, name], problem);
    }
  }
  const { end_on = [], stop_on } = config.reconnect;
  for (const [index, { first, last }] of end_on.entries()) {
    const both = stop_on.close_codes.find((codes) => codes.first <= last && codes.last >= first);
    if (both !== undefined) {
      const codes = Math.max(first, both.first);
      report(
        ['reconnect', 'end_on', index],
        `${codes} is in \`stop_on\` too; the stream cannot end and fail by it`,
      );
    }
  }
  const hasToken = auth?.type === 'bearer' || auth?.type === 'oauth2';
  if (!hasToken) reportUses('token', 'the token needs `auth` of `type: bearer` or `oauth2`');
  if (config.resume === undefined) reportUses('cursor', 'the cursor needs `resume`');

  function reportUses(name: string, message: string): void {
    const { protocols, on_open, heartbeat } = config;
    walkStrings({ headers, query, protocols, on_open, heartbeat }, [], (text, path) => {
      if (uses(name, text)) report(path, message);
    });
    if (urls.some((url) => uses(name, url))) report(['url'], message);
  }
}

/** Why a header or a parameter is not the credentials that its name says it is. */
function credentialProblem(name: string, text: string): string | undefined {
  if (isBareScheme(name, text)) return 'has no credentials behind its scheme';
  const isCredential = /^(?:proxy-)?authorization$/i.test(name) || isSecretName(name);
  return isCredential && text.trim() === '' ? 'is blank; expected credentials' : undefined;
}

function uses(name: string, text: string): boolean {
  if (!text.includes('{{')) return false;
  try {
    return Template.parse(text, answerNames).uses(name);
  } catch {
    // Reported elsewhere; or it is no template at all, but something to match.
    return false;
  }
}
