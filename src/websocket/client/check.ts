import { isSecretName } from '../../component/mask.ts';
import { Template } from '../../component/template.ts';
import type { Fail } from '../../component/settings.ts';
import { walkStrings } from '../messages.ts';
import { answerNames } from './answer.ts';
import type { ClientConfig } from './client-schema.ts';
import { isBareScheme } from './request.ts';

/** The parts of a client's configuration that are checked. */
export type CheckedClient = Pick<
  ClientConfig,
  'headers' | 'query' | 'protocols' | 'on_open' | 'heartbeat' | 'auth' | 'reconnect'
> & { readonly resume?: unknown };

/** Reports fields of a client that are correct by themselves but do not fit together. `urls` are its URLs. */
export function checkClientConfig(config: CheckedClient, urls: readonly string[], report: Fail): void {
  const { auth, headers, query } = config;
  const header = Object.keys(headers).find((name) => name.toLowerCase() === 'authorization');
  const hasUser = urls.some((url) => /^wss?:[/\\]*[^/\\?#]*@/i.test(url));
  const user = 'the URL already has a user; remove one of the two';
  if (auth !== undefined) {
    if (header !== undefined) report(['headers', header], '`auth` already sends it; remove one of the two');
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
        `${codes} is also in \`stop_on\`; it cannot both end the stream and fail it`,
      );
    }
  }
  const hasToken = auth?.type === 'bearer' || auth?.type === 'oauth2';
  if (!hasToken) reportUses('token', 'the token needs `auth` with `type: bearer` or `oauth2`');
  if (config.resume === undefined) reportUses('cursor', 'the cursor needs `resume`');

  function reportUses(name: string, message: string): void {
    const { protocols, on_open, heartbeat } = config;
    walkStrings({ headers, query, protocols, on_open, heartbeat }, [], (text, path) => {
      if (uses(name, text)) report(path, message);
    });
    if (urls.some((url) => uses(name, url))) report(['url'], message);
  }
}

/** Why a header or a parameter does not hold the credentials that its name promises. */
function credentialProblem(name: string, text: string): string | undefined {
  if (isBareScheme(name, text)) return 'has no credentials after its scheme';
  const isCredential = /^(?:proxy-)?authorization$/i.test(name) || isSecretName(name);
  return isCredential && text.trim() === '' ? 'is blank; expected credentials' : undefined;
}

function uses(name: string, text: string): boolean {
  if (!text.includes('{{')) return false;
  try {
    return Template.parse(text, answerNames).uses(name);
  } catch {
    // Reported elsewhere; or it is not a template, but something to match.
    return false;
  }
}
