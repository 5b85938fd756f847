import type { ClientAuth } from '../auth/auth-schema.ts';
import { bearerProblem } from '../secret-text.ts';
import type { Deadline } from '../deadline.ts';
import { OAuth2Tokens } from './oauth2.ts';
import type { Proxies } from '../proxy/proxy.ts';
import { readSecret } from './read-secret.ts';

/** The credential that an attempt shows. */
export interface Credential {
  /** The header's value. */
  readonly authorization: string | undefined;
  /** For `{{token}}`. */
  readonly token: string | undefined;
}

const none: Credential = { authorization: undefined, token: undefined };

/** The credentials of `auth`, looked up for each attempt. */
export class Credentials {
  /** Keyed by the file's `auth`, so that the connections of one input share an OAuth2 token. */
  static readonly #shared = new WeakMap<ClientAuth, Credentials>();

  readonly #config: ClientAuth | undefined;
  readonly #oauth2: OAuth2Tokens | undefined;

  private constructor(config: ClientAuth | undefined, proxies: Proxies) {
    this.#config = config;
    if (config?.type === 'oauth2') this.#oauth2 = new OAuth2Tokens(config, proxies);
  }

  static of(config: ClientAuth | undefined, proxies: Proxies): Credentials {
    if (config === undefined) return new Credentials(config, proxies);
    let credentials = Credentials.#shared.get(config);
    if (credentials === undefined) {
      credentials = new Credentials(config, proxies);
      Credentials.#shared.set(config, credentials);
    }
    return credentials;
  }

  /** @throws NotConnectedError that names the file or the token endpoint; the reason of the deadline's caller */
  async get(deadline: Deadline): Promise<Credential> {
    const config = this.#config;
    if (config?.type === 'basic') {
      const password = config.password ?? (await readSecret(config.password_file!, 'auth.password_file'));
      const encoded = Buffer.from(`${config.username}:${password}`).toString('base64');
      return { authorization: `Basic ${encoded}`, token: undefined };
    }
    if (config?.type === 'bearer') {
      return bearer(config.token ?? (await readSecret(config.token_file!, 'auth.token_file', bearerProblem)));
    }
    return this.#oauth2 === undefined ? none : bearer(await this.#oauth2.get(deadline));
  }

  /** The server refused the credential: a fetched token is fetched again. */
  refused({ token }: Credential): void {
    if (token !== undefined) this.#oauth2?.drop(token);
  }
}

function bearer(token: string): Credential {
  return { authorization: `Bearer ${token}`, token };
}
