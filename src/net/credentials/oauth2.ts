import { Deadline, attemptError } from '../deadline.ts';
import { abortable } from '../../component/waker.ts';
import { maskUrl } from '../../component/mask.ts';
import type { Proxies } from '../proxy/proxy.ts';
import { requestToken, type OAuth2Config, type Token } from './token-request.ts';

/** A token request under way, and the number of callers that wait for it. */
interface Run {
  readonly token: Promise<Token>;
  readonly end: AbortController;
  waiting: number;
}

/** Tokens of the client credentials grant (RFC 6749 section 4.4): all callers share one until it is about to expire. */
export class OAuth2Tokens {
  readonly #config: OAuth2Config;
  readonly #proxies: Proxies;
  #token: Token | undefined;
  #run: Run | undefined;

  constructor(config: OAuth2Config, proxies: Proxies) {
    this.#config = config;
    this.#proxies = proxies;
  }

  /** @throws NotConnectedError that says why there is no token, without secrets; the reason of the deadline's caller */
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

  /** Discards `token`, unless a newer one has already replaced it. */
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
    // Every caller that waited may have gone.
    token.catch(() => {});
    const run: Run = { token, end, waiting: 0 };
    end.signal.addEventListener('abort', () => {
      if (this.#run === run) this.#run = undefined;
    });
    return run;
  }
}
