import type { NatsConnection } from '@nats-io/transport-node';
import type { Context } from '../../component/context.ts';
import { maskUrl } from '../../component/mask.ts';
import { abortable } from '../../component/waker.ts';
import { readWholeFile, LONGEST_SECRET } from '../../component/whole-file.ts';
import { MillraceError, NotConnectedError, errorMessage } from '../../errors.ts';
import { readSecret } from '../../net/credentials/read-secret.ts';
import { attemptError, Deadline } from '../../net/deadline.ts';
import { loadTls } from '../../net/tls.ts';
import { within } from '../within.ts';
import type { NatsConfig } from './fields.ts';
import { probe } from './probe.ts';

/** After this time without an answer to a ping, the connection counts as lost. Milliseconds, and pings. */
const PING_EVERY = 10_000;
const PINGS = 2;

/** An open connection. It does not connect again: the engine makes a new one. */
export class NatsLink {
  readonly nc: NatsConnection;
  /** Safe to show. */
  readonly url: string;
  /** Subjects on which the server has refused to let us publish, and why. They come before the answer to a flush. */
  readonly denied = new Map<string, string>();
  readonly #timeout: number;
  readonly #gone = new AbortController();
  #isOurs = false;

  private constructor(nc: NatsConnection, url: string, timeout: number, context: Context) {
    this.nc = nc;
    this.url = url;
    this.#timeout = timeout;
    context.events.connectionOpened({ url });
    void this.#watch();
    void nc.closed().then((error) => {
      const reason = error === undefined ? '' : errorMessage(error);
      this.#gone.abort(this.#lost(reason));
      context.events.connectionClosed({ code: this.#isOurs ? 1000 : 1006, reason, url });
    });
  }

  /** Aborts when the connection is gone; its reason says why. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * Connects to the first server that answers.
   * @throws NotConnectedError with what each of them said; the signal's reason
   */
  static async open(config: NatsConfig, context: Context, signal: AbortSignal): Promise<NatsLink> {
    const errors: string[] = [];
    let last: unknown;
    for (const server of config.url) {
      const address = addressOf(server);
      const url = maskUrl(address.href);
      const deadline = new Deadline(signal, config.timeout);
      try {
        await probe(address, deadline.signal);
        return new NatsLink(await connect(address, config, context, deadline), url, config.timeout, context);
      } catch (error) {
        last = attemptError(`cannot connect to ${url}`, error, deadline.signal);
        if (signal.aborted || error instanceof MillraceError) throw signal.aborted ? last : error;
        errors.push(errorMessage(last));
      } finally {
        deadline.clear();
      }
    }
    throw new NotConnectedError(errors.join('; '), last);
  }

  /**
   * Waits for an answer of the server. If it does not come in time, the connection is cut.
   * @throws NotConnectedError; the signal's reason
   */
  async answer<T>(what: string, promise: Promise<T>, signal: AbortSignal): Promise<T> {
    const either = AbortSignal.any([signal, this.gone]);
    try {
      return await within(`${this.url}: ${what}`, promise, { timeout: this.#timeout, signal: either });
    } catch (error) {
      if (error instanceof NotConnectedError) this.cut(error);
      throw error;
    }
  }

  /** We need it no more. */
  close(): void {
    this.#isOurs = true;
    this.cut(new NotConnectedError('closed'));
  }

  /** Closes the connection at once, for the reason. */
  cut(reason: Error): void {
    this.#gone.abort(reason);
    void this.nc.close();
  }

  #lost(reason: string): NotConnectedError {
    return new NotConnectedError(`${this.url} closed the connection${reason === '' ? '' : `: ${reason}`}`);
  }

  async #watch(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type !== 'error') continue;
      const { error } = status;
      if ('operation' in error && error.operation === 'publish' && 'subject' in error)
        this.denied.set(String(error.subject), errorMessage(error));
    }
  }
}

function addressOf(server: string): URL {
  const url = new URL(server.includes('://') ? server : `nats://${server}`);
  if (url.port === '') url.port = '4222';
  return url;
}

async function connect(
  address: URL,
  config: NatsConfig,
  context: Context,
  { signal, timeout }: Deadline,
): Promise<NatsConnection> {
  const library = await import('@nats-io/transport-node');
  const { tls } = config;
  const opening = library.connect({
    servers: [address.host],
    name: `millrace ${context.stream.id}`,
    ...(await credentials(address, config)),
    // The type lacks `servername`, which goes to Node's TLS with the others.
    ...((tls !== undefined || address.protocol === 'tls:') && {
      tls: {
        ...(tls && (await loadTls(tls))),
        ...(tls?.server_name !== undefined && { servername: tls.server_name }),
        rejectUnauthorized: tls?.insecure_skip_verify !== true,
      } as object,
    }),
    timeout,
    reconnect: false,
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    pingInterval: PING_EVERY,
    maxPingOut: PINGS,
  });
  // Nobody waits for it any more: it must not stay open.
  opening.then((nc) => signal.aborted && void nc.close()).catch(() => {});
  return await abortable(opening, signal);
}

async function credentials({ username: user, password: pass }: URL, { auth }: NatsConfig) {
  if (auth === undefined) {
    if (user === '') return {};
    const [name, secret] = [decodeURIComponent(user), decodeURIComponent(pass)];
    // As every client of NATS: a name alone is a token.
    return pass === '' ? { token: name } : { user: name, pass: secret };
  }
  const library = await import('@nats-io/transport-node');
  const read = async (path: string, field: string): Promise<Uint8Array> => {
    try {
      return await readWholeFile(path, LONGEST_SECRET);
    } catch (error) {
      throw new NotConnectedError(`cannot read \`auth.${field}\`: ${errorMessage(error)}`, error);
    }
  };
  const { username, credentials_file, seed_file } = auth;
  if (username !== undefined) {
    const password = auth.password ?? (await readSecret(auth.password_file!, 'auth.password_file'));
    return { user: username, pass: password };
  }
  if (credentials_file !== undefined)
    return { authenticator: library.credsAuthenticator(await read(credentials_file, 'credentials_file')) };
  if (seed_file !== undefined) {
    const seed = Buffer.from(await readSecret(seed_file, 'auth.seed_file'));
    return { authenticator: library.nkeyAuthenticator(seed) };
  }
  return { token: auth.token ?? (await readSecret(auth.token_file!, 'auth.token_file')) };
}
