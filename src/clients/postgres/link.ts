import { isIP, Socket } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { Client, ClientConfig, QueryResult } from 'pg';
import type { Context } from '../../component/context.ts';
import { maskUrl } from '../../component/mask.ts';
import { abortable } from '../../component/waker.ts';
import { MillraceError, NotConnectedError, errorMessage } from '../../errors.ts';
import { readSecret } from '../../net/credentials/read-secret.ts';
import { attemptError, Deadline } from '../../net/deadline.ts';
import { loadTls } from '../../net/tls.ts';
import { within } from '../within.ts';
import type { PostgresConfig } from './fields.ts';
import { isAway } from './faults.ts';

/** How long the server has to take leave, in milliseconds. */
const FAREWELL = 500;

/** An open connection. Once it is lost, it stays so: the engine makes a new one. */
export class PostgresLink {
  readonly client: Client;
  /** Safe to show. */
  readonly url: string;
  readonly #socket: Socket;
  readonly #timeout: number;
  readonly #gone = new AbortController();
  #isOurs = false;

  private constructor(client: Client, socket: Socket, url: string, timeout: number, context: Context) {
    this.client = client;
    this.url = url;
    this.#socket = socket;
    this.#timeout = timeout;
    context.events.connectionOpened({ url });
    client.on('error', (error) => this.cut(new NotConnectedError(`${url}: ${errorMessage(error)}`, error)));
    client.once('end', () => {
      this.cut(new NotConnectedError(`${url} closed the connection`));
      context.events.connectionClosed({ code: this.#isOurs ? 1000 : 1006, reason: '', url });
    });
  }

  /** Aborts when the connection is gone; its reason says why. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** @throws NotConnectedError; MillraceError of a certificate; the signal's reason */
  static async open(config: PostgresConfig, context: Context, signal: AbortSignal): Promise<PostgresLink> {
    const address = new URL(config.url);
    const url = maskUrl(`postgres://${address.host}${address.pathname}`);
    const deadline = new Deadline(signal, config.timeout);
    const socket = new Socket();
    // Its errors come from the library as well.
    socket.on('error', () => {});
    try {
      const { default: pg } = await import('pg');
      const client = new pg.Client({ ...(await settings(address, config)), stream: () => socket });
      // Until it has connected, an error is the answer to `connect`.
      client.on('error', () => {});
      await abortable(client.connect(), deadline.signal);
      // Not as parameters of the connection: a pooler refuses those that it does not know.
      const session = `SET statement_timeout = ${config.timeout}; SET TIME ZONE 'UTC'`;
      await abortable(client.query(session), deadline.signal);
      client.removeAllListeners('error');
      return new PostgresLink(client, socket, url, config.timeout, context);
    } catch (error) {
      socket.destroy();
      if (error instanceof MillraceError) throw error;
      throw attemptError(`cannot connect to ${url}`, error, deadline.signal);
    } finally {
      deadline.clear();
    }
  }

  /**
   * Runs one statement.
   * @throws NotConnectedError when the server is away or does not answer in time; the signal's reason; otherwise the
   * server's error
   */
  async query(
    text: string,
    values: unknown[],
    signal: AbortSignal,
  ): Promise<QueryResult<Record<string, unknown>>> {
    return await this.#answer(() => this.client.query<Record<string, unknown>>(text, values), signal);
  }

  /** The rows of a statement, each as a list of its values. @throws as `query` */
  async list(text: string, signal: AbortSignal): Promise<unknown[][]> {
    return (await this.#answer(() => this.client.query({ text, rowMode: 'array' }), signal)).rows;
  }

  async #answer<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.gone.aborted) throw this.gone.reason;
    const either = AbortSignal.any([signal, this.gone]);
    try {
      return await within(this.url, ask(), { timeout: this.#timeout, signal: either });
    } catch (error) {
      // Nobody knows what became of a statement that was left alone.
      if (signal.aborted) this.cut(new NotConnectedError('aborted'));
      if (!(error instanceof NotConnectedError) && !isAway(error)) throw error;
      const lost =
        error instanceof NotConnectedError
          ? error
          : new NotConnectedError(`${this.url}: ${errorMessage(error)}`, error);
      this.cut(lost);
      throw lost;
    }
  }

  /** Closes the connection at once, for the reason. */
  cut(reason: Error): void {
    this.#gone.abort(reason);
    this.#socket.destroy();
  }

  /** Takes leave of the server, unless it does not answer. */
  async close(signal: AbortSignal): Promise<void> {
    this.#isOurs = true;
    if (!this.gone.aborted && !signal.aborted)
      await within('end', this.client.end(), { timeout: FAREWELL, signal }).catch(() => {});
    this.cut(new NotConnectedError('closed'));
  }
}

async function settings(address: URL, config: PostgresConfig): Promise<ClientConfig> {
  const { hostname, port, username, password, pathname, searchParams } = address;
  const user = decodeURIComponent(username) || 'postgres';
  const { password_file: file } = config;
  return {
    // Everything is said: for what is missing, the library looks into the environment and the home of the user.
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? 5432 : Number(port),
    user,
    password: file === undefined ? decodeURIComponent(password) : await readSecret(file, 'password_file'),
    database: decodeURIComponent(pathname.slice(1)) || user,
    ssl: await tlsOf(searchParams.get('sslmode'), hostname, config),
    application_name: searchParams.get('application_name') ?? 'millrace',
    keepAlive: true,
  };
}

async function tlsOf(
  mode: string | null,
  host: string,
  { tls }: PostgresConfig,
): Promise<ClientConfig['ssl']> {
  if (tls === undefined && (mode === null || mode === 'disable')) return false;
  const name = tls?.server_name ?? host.replace(/^\[(.*)\]$/, '$1');
  return {
    ...(tls && (await loadTls(tls))),
    ...(isIP(name) === 0 && { servername: name }),
    // The library asks for the name of the host in any case, and Node.js would take an address for `localhost`.
    checkServerIdentity: (_, certificate) =>
      mode === 'verify-ca' ? undefined : checkServerIdentity(name, certificate),
    rejectUnauthorized: mode === null ? tls?.insecure_skip_verify !== true : mode !== 'require',
  };
}
