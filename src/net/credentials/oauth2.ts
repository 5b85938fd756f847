import type { ClientAuth } from '../auth/auth-schema.ts';
import { Deadline, attemptError } from '../deadline.ts';
import { abortable } from '../../component/waker.ts';
import { maskUrl } from '../../component/mask.ts';
import type { Proxies } from '../proxy/proxy.ts';
import { requestToken, type Token } from './token-request.ts';

export type OAuth2Config = Extract<ClientAuth, { type: 'oauth2' }>;

/** A request for a token that is under way, and how many wait for it. */
interface Run {
  readonly token: Promise<Token>;
  readonly end: AbortController;
  waiting: number;
}

/** Tokens of the client credentials grant (RFC 6749 section 4.4): one for all who ask, until it is about to expire. */
export class OAuth2Tokens {
  readonly #config: OAuth2Config;
  readonly #proxies: Proxies;
  #token: Token | undefined;
  #run: Run | undefined;

  constructor(config: OAuth2Config, proxies: Proxies) {
    this.#config = config;
    this.#proxies = proxies;
  }

  /** @throws NotConnectedError that says why there is none, without secrets; the reason of the deadline's caller */
  async get(deadline: Deadline): Promise<string> {
    const { refresh_before } = this.#config;
    if (this.#token !== undefined && performance.now() < this.#token.expires - refresh_before) {
      return this.#token.value;
    }
    this.#run ??= this.#start(deadline.timeout);
    const run = this.#run;
    run.waiting++;
    try {
      return (await abortable(run.token, deadline.signal)).value;
    } catch (error) {
      if (!deadline.signal.aborted) throw error;
      const what = `cannot get a token from ${maskUrl(this.#config.token_url)}`;
      throw attemptError(what, error, deadline.signal);
    } finally {
      if (--run.waiting === 0) run.end.abort();
    }
  }

  /** Throws `token` away, unless a newer one has taken its place already. */
  drop(token: string): void {
    if (this.#token?.value === token) this.#token = undefined;
  }

  #start(timeout: number): Run {
    const end = new AbortController();
    const deadline = new Deadline(end.signal, timeout);
    const token = requestToken(this.#config, this.#proxies, deadline)
      .then((fetched) => {
        this.#token = fetched;
        return fetched;
      })
      .finally(() => {
        deadline.clear();
        if (this.#run === run) this.#run = undefined;
      });
    // Those who wait may all have gone.
    token.catch(() => {});
    const run: Run = { token, end, waiting: 0 };
    end.signal.addEventListener('abort', () => {
      if (this.#run === run) this.#run = undefined;
    });
    return run;
  }
}
