import { maskUrl } from '../../component/mask.ts';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import { attemptError, type Deadline } from '../deadline.ts';
import { httpPost } from '../http-post.ts';
import type { ClientAuth } from '../auth/auth-schema.ts';
import { readRetryAfter } from '../retry-after.ts';
import type { Proxies } from '../proxy/proxy.ts';
import { readSecret } from './read-secret.ts';
import { Secrets } from '../attempt-secrets.ts';

export type OAuth2Config = Extract<ClientAuth, { type: 'oauth2' }>;

export interface Token {
  readonly value: string;
  /** When it expires, in milliseconds of `performance.now()`; Infinity when the endpoint does not say. */
  readonly expires: number;
}

/** The longest description by the endpoint that is shown, in characters. */
const LONGEST_DESCRIPTION = 200;

/** Asks the token endpoint. @throws NotConnectedError, without secrets; the deadline's reason */
export async function requestToken(
  config: OAuth2Config,
  proxies: Proxies,
  deadline: Deadline,
): Promise<Token> {
  const endpoint = config.token_url;
  const failure = `cannot get a token from ${maskUrl(endpoint)}`;
  const secret =
    config.client_secret ?? (await readSecret(config.client_secret_file!, 'auth.client_secret_file'));
  const secrets = new Secrets();
  secrets.add(secret, basicPair(config.client_id, secret), ...Object.values(config.parameters));
  // Loaded when needed: most streams have no such token.
  const oauth = await import('oauth4webapi');
  const server = { issuer: endpoint, token_endpoint: endpoint };
  const client = { client_id: config.client_id };
  const authenticate =
    config.auth_method === 'client_secret_post' ? oauth.ClientSecretPost(secret) : basic(secret);
  const parameters = {
    ...config.parameters,
    ...(config.scopes !== undefined && { scope: config.scopes.join(' ') }),
  };
  try {
    const response = await oauth.clientCredentialsGrantRequest(server, client, authenticate, parameters, {
      [oauth.allowInsecureRequests]: true,
      [oauth.customFetch]: (_, { headers, body }) =>
        httpPost(endpoint, headers, String(body), proxies, deadline),
    });
    if (response.status !== 200) {
      const wait = readRetryAfter(response.headers.get('retry-after') ?? undefined);
      const said = await describeRefusal(response, secrets);
      throw new NotConnectedError(`${failure}: ${said}`, undefined, wait);
    }
    const token = await oauth.processClientCredentialsResponse(server, client, response);
    if (token.token_type !== 'bearer') throw new Error('its token is not a bearer token');
    const expires = performance.now() + (token.expires_in ?? Infinity) * 1000;
    return { value: token.access_token, expires };
  } catch (error) {
    if (error instanceof NotConnectedError) throw error;
    // Without its cause, which may be an answer with a token in it.
    throw attemptError(failure, new Error(secrets.mask(errorMessage(error))), deadline.signal);
  }
}

/**
 * HTTP Basic, which every server must accept (RFC 6749 section 2.3.1). Letters, digits and `-._~` stay as they are:
 * many servers fail to decode them, and for the others it makes no difference.
 */
function basic(secret: string) {
  return (_server: unknown, client: { client_id: string }, _body: unknown, headers: Headers): void => {
    headers.set('authorization', `Basic ${basicPair(client.client_id, secret)}`);
  };
}

function basicPair(id: string, secret: string): string {
  return Buffer.from(`${formEncode(id)}:${formEncode(secret)}`).toString('base64');
}

function formEncode(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1).replaceAll('%7E', '~');
}

/** The status, and the error that the body describes (RFC 6749 section 5.2). */
async function describeRefusal(response: Response, { mask }: Secrets): Promise<string> {
  const status = mask(`it answered ${response.status} ${response.statusText}`.trim());
  const body: unknown = await response.json().catch(() => undefined);
  if (typeof body !== 'object' || body === null) return status;
  const { error, error_description: description } = body as Readonly<Record<string, unknown>>;
  const words = [error, description]
    .filter((each) => typeof each === 'string')
    .map((each) => printable(mask(each)));
  return words.length === 0 ? status : `${status}: ${words.join(', ')}`;
}

function printable(text: string): string {
  return text.slice(0, LONGEST_DESCRIPTION).replaceAll(/[\u0000-\u001f\u007f]+/g, ' ');
}
