import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Environment } from '../../component/context.ts';
import { maskUrl } from '../../component/mask.ts';
import type { TemplateValues } from '../../component/template.ts';
import { NotConnectedError } from '../../errors.ts';
import type { Session } from '../session.ts';
import { Credentials } from '../../net/credentials/credentials.ts';
import { Deadline } from '../../net/deadline.ts';
import { RefusedError, dialWebSocket } from './dial.ts';
import type { ClientConfig } from './client-schema.ts';
import { compileSteps, runSteps, type Step } from './on-open.ts';
import { refusalError, stopsOn } from './policy.ts';
import { Proxies } from '../../net/proxy/proxy.ts';
import { MAX_REDIRECTS, redirectOf, type Destination } from './redirects.ts';
import { RequestTemplates, type HandshakeRequest } from './request.ts';
import { Secrets } from '../../net/attempt-secrets.ts';
import { attemptValues } from './values.ts';

/**
 * The close codes by which servers reject credentials: policy violation (RFC 6455 section 7.4.1), unauthorized and
 * forbidden (IANA's registry), and the codes that many use in place of these two.
 */
const UNAUTHORIZED: ReadonlySet<number> = new Set([1008, 3000, 3003, 4401, 4403]);

export interface ConnectorOptions {
  /** A template. */
  readonly url: string;
  readonly config: ClientConfig;
  readonly env: Environment;
  /** How long the server has to answer a close frame, in milliseconds. */
  readonly closeTimeout: number;
  /** The cursor of `resume`, if there is one. */
  readonly cursor?: () => string | undefined;
}

/**
 * Called in the turn in which the handshake ends. `url` is the connected URL in a form that may be shown: values filled
 * in after its host are `***`. `values` are those of the attempt, for later messages.
 */
export type Opened = (socket: WebSocket, connection: Socket, url: string, values: TemplateValues) => Session;

/** Opens connections to one URL. Fills in the configuration's templates afresh at every attempt. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #request: RequestTemplates;
  readonly #steps: readonly Step[];
  readonly #proxies: Proxies;
  readonly #credentials: Credentials;

  constructor(options: ConnectorOptions) {
    const { url, config, env } = options;
    this.#options = options;
    this.#request = new RequestTemplates(url, config);
    this.#steps = compileSteps(config.on_open);
    this.#proxies = new Proxies(config.proxy, env);
    this.#credentials = Credentials.of(config.auth, this.#proxies);
  }

  /**
   * Makes one attempt, up to the last step of `on_open`; then the session is `established`. After a failed attempt it
   * never is.
   * @throws NotConnectedError, or a fatal error
   */
  async open(signal: AbortSignal, opened: Opened): Promise<Session> {
    const { config, env, cursor } = this.#options;
    const deadline = new Deadline(signal, config.timeout);
    try {
      const credential = await this.#credentials.get(deadline);
      const secrets = new Secrets();
      secrets.add(credential.token, credential.authorization);
      const values = attemptValues({ env, cursor: cursor?.(), token: credential.token, secrets });
      const request = this.#request.render(values, credential.authorization);
      secrets.addRequest(request);
      const refused = (): void => this.#credentials.refused(credential);
      return await this.#follow({ signal, deadline, request, values, secrets, refused }, opened);
    } finally {
      deadline.clear();
    }
  }

  /** Connects to where the redirects finally lead. */
  async #follow(attempt: Attempt, opened: Opened): Promise<Session> {
    const { request, secrets, refused } = attempt;
    const { reconnect } = this.#options.config;
    const visited: Destination[] = [request];
    for (;;) {
      const last = visited.at(-1)!;
      const shown = visited.length === 1 ? maskUrl(request.shown) : shownUrl(last.url, secrets);
      try {
        return await this.#connect(attempt, last, shown, opened);
      } catch (error) {
        if (!(error instanceof RefusedError)) throw error;
        const { refusal } = error;
        if (refusal.status === 401 || refusal.status === 403) refused();
        const redirect = stopsOn(refusal.status, reconnect)
          ? undefined
          : redirectOf(last, refusal.status, refusal.location, (target) => shownUrl(target, secrets));
        const said = `cannot connect to ${shown}: ${secrets.mask(error.message)}`;
        if (redirect === undefined) throw refusalError(said, refusal, reconnect);
        if ('refusal' in redirect) throw new NotConnectedError(`${said}, ${redirect.refusal}`);
        const target = shownUrl(redirect.url, secrets);
        if (
          visited.some(
            ({ url, target: asked }) =>
              url.host === redirect.url.host &&
              url.protocol === redirect.url.protocol &&
              asked === redirect.target,
          )
        ) {
          throw new NotConnectedError(`${said}, a redirect to ${target}, which leads in a loop`);
        }
        if (visited.length > MAX_REDIRECTS) {
          throw new NotConnectedError(
            `${said}, a redirect to ${target}; more than ${MAX_REDIRECTS} redirects`,
          );
        }
        visited.push(redirect);
      }
    }
  }

  async #connect(
    attempt: Attempt,
    { url, target }: Destination,
    shown: string,
    opened: Opened,
  ): Promise<Session> {
    const { config, closeTimeout } = this.#options;
    const { request, deadline, values, secrets } = attempt;
    let session: Session | undefined;
    let steps: Promise<void> | undefined;
    await dialWebSocket(
      {
        url,
        target,
        shown,
        headers: request.headers,
        protocols: request.protocols,
        closeTimeout,
        maxMessageSize: config.max_message_size,
        compression: config.compression,
        fragments: config.limits.fragments,
        tls: config.tls,
        proxy: this.#proxies.for(url),
      },
      deadline,
      (socket, connection) => {
        // The steps have their own deadlines.
        deadline.clear();
        session = opened(socket, connection, maskUrl(request.shown), values);
        session.masked = secrets.mask;
        socket.once('close', (code) => {
          if (UNAUTHORIZED.has(code)) attempt.refused();
        });
        steps = this.#runSteps(attempt, session, shown);
      },
    );
    await steps;
    return session!;
  }

  async #runSteps(attempt: Attempt, session: Session, shown: string): Promise<void> {
    const { reconnect } = this.#options.config;
    try {
      await runSteps(this.#steps, session, { ...attempt, shown, reconnect });
    } catch (error) {
      // The token may be the cause, even where it was sent in a message.
      attempt.refused();
      throw error;
    }
  }
}

/** The parts of one attempt. */
interface Attempt {
  readonly signal: AbortSignal;
  readonly deadline: Deadline;
  readonly request: HandshakeRequest;
  readonly values: TemplateValues;
  readonly secrets: Secrets;
  /** Call when the server has refused the credentials. */
  readonly refused: () => void;
}

/** Masks a URL that a server gave: it may repeat filled-in values. */
function shownUrl(url: URL, secrets: Secrets): string {
  const masked = maskUrl(url.href);
  const behindHost = masked.indexOf('/', url.protocol.length + 2);
  return behindHost < 0 ? masked : masked.slice(0, behindHost) + secrets.mask(masked.slice(behindHost));
}
