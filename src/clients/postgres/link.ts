import { isIP, Socket } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { Client, ClientConfig } from 'pg';
import type { Context } from '../../component/context.ts';
import { maskUrl } from '../../component/mask.ts';
import { abortable } from '../../component/waker.ts';
import { MillraceError } from '../../errors.ts';
import { readSecret } from '../../net/credentials/read-secret.ts';
import { attemptError, Deadline } from '../../net/deadline.ts';
import { loadTls } from '../../net/tls.ts';
import { SqlLink, type SqlResult } from '../tables/sql-link.ts';
import type { PostgresConfig } from './fields.ts';
import { isAway } from './faults.ts';

/** An open connection. Once it is lost, it stays so: the engine makes a new one. */
export class PostgresLink extends SqlLink {
  readonly client: Client;
  readonly #socket: Socket;

  private constructor(client: Client, socket: Socket, url: string, timeout: number, context: Context) {
    super(url, timeout, context);
    this.client = client;
    this.#socket = socket;
    client.on('error', this.failed);
    client.once('end', this.ended);
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

  async query(text: string, values: unknown[], signal: AbortSignal): Promise<SqlResult> {
    const ask = async () => await this.client.query<Record<string, unknown>>(text, values);
    const { rows, rowCount } = await this.answer(ask, signal);
    return { rows, count: rowCount ?? 0 };
  }

  /** The rows of a statement, each as a list of its values. @throws as `query` */
  async list(text: string, signal: AbortSignal): Promise<unknown[][]> {
    return (await this.answer(() => this.client.query({ text, rowMode: 'array' }), signal)).rows;
  }

  protected isAway(error: unknown): boolean {
    return isAway(error);
  }

  protected async end(): Promise<void> {
    await this.client.end();
  }

  protected destroy(): void {
    this.#socket.destroy();
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
