import { connect, type Socket } from 'node:net';
import type { Connection, ConnectionOptions, ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import type { Context } from '../../component/context.ts';
import { maskUrl } from '../../component/mask.ts';
import { abortable } from '../../component/waker.ts';
import { MillraceError } from '../../errors.ts';
import { readSecret } from '../../net/credentials/read-secret.ts';
import { attemptError, Deadline } from '../../net/deadline.ts';
import { loadTls } from '../../net/tls.ts';
import { SqlLink, type SqlResult } from '../tables/sql-link.ts';
import { isAway, UnfitValue } from './faults.ts';
import { hostOf, type MysqlConfig } from './fields.ts';

/** Nothing is cut off or guessed, and a text ends at its quote, whatever is in it. */
const MODES = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO';

/** Bytes of a packet beside the statement, and some to spare. */
const HEAD = 1024;

/** An open connection. Once it is lost, it stays so: the engine makes a new one. */
export class MysqlLink extends SqlLink {
  readonly #connection: Connection;
  readonly #socket: Socket;
  /** In bytes. */
  readonly #largest: number;

  private constructor(
    connection: Connection,
    socket: Socket,
    { url, timeout, largest }: { url: string; timeout: number; largest: number },
    context: Context,
  ) {
    super(url, timeout, context);
    this.#connection = connection;
    this.#socket = socket;
    this.#largest = largest;
    connection.on('error', this.failed);
    socket.once('close', this.ended);
    if (socket.destroyed) this.ended();
  }

  /** @throws NotConnectedError; MillraceError of a certificate; the signal's reason */
  static async open(config: MysqlConfig, context: Context, signal: AbortSignal): Promise<MysqlLink> {
    const address = new URL(config.url);
    const url = maskUrl(`mysql://${address.host}${address.pathname}`);
    const { timeout } = config;
    const deadline = new Deadline(signal, timeout);
    let socket: Socket | undefined;
    try {
      const { createConnection } = await import('mysql2/promise');
      const options = await settings(address, config);
      const port = address.port === '' ? 3306 : Number(address.port);
      const own = connect({ host: hostOf(address), port, keepAlive: true, noDelay: true });
      socket = own;
      // Its errors come from the library as well.
      own.on('error', () => {});
      const opening = createConnection({ ...options, stream: () => own });
      const connection = await abortable(opening, deadline.signal);
      // The comment is for MariaDB alone; MySQL limits SELECT only.
      const session = `SET time_zone = '+00:00', sql_mode = '${MODES}' /*M! , max_statement_time = ${timeout / 1000} */`;
      await abortable(connection.query(session), deadline.signal);
      const asked = connection.query<RowDataPacket[]>('SELECT @@max_allowed_packet AS largest');
      const [rows] = await abortable(asked, deadline.signal);
      const largest = Number(rows[0]!['largest']) - HEAD;
      return new MysqlLink(connection, own, { url, timeout, largest }, context);
    } catch (error) {
      socket?.destroy();
      if (error instanceof MillraceError) throw error;
      throw attemptError(`cannot connect to ${url}`, error, deadline.signal);
    } finally {
      deadline.clear();
    }
  }

  async query(text: string, values: unknown[], signal: AbortSignal): Promise<SqlResult> {
    // The server would end the connection.
    if (text.length * 3 > this.#largest && Buffer.byteLength(text) > this.#largest)
      throw new UnfitValue('larger than max_allowed_packet of the server');
    // The library itself would fill in values with backslashes, which mean nothing here: the server does it.
    const ask = async () =>
      values.length === 0
        ? await this.#connection.query<ResultSetHeader | RowDataPacket[]>(text)
        : await this.#connection.execute<ResultSetHeader | RowDataPacket[]>(text, values as string[]);
    const [result] = await this.answer(ask, signal);
    return Array.isArray(result)
      ? { rows: result, count: result.length }
      : { rows: [], count: result.affectedRows };
  }

  protected isAway(error: unknown): boolean {
    return isAway(error);
  }

  protected async end(): Promise<void> {
    await this.#connection.end();
  }

  protected destroy(): void {
    this.#socket.destroy();
  }
}

async function settings(address: URL, config: MysqlConfig): Promise<ConnectionOptions> {
  const { username, password, pathname } = address;
  const { password_file: file, tls, timeout } = config;
  return {
    // Whose certificate it must be; the connection itself is ours.
    host: tls?.server_name ?? hostOf(address),
    user: decodeURIComponent(username) || 'root',
    password: file === undefined ? decodeURIComponent(password) : await readSecret(file, 'password_file'),
    database: decodeURIComponent(pathname.slice(1)),
    connectTimeout: timeout,
    charset: 'utf8mb4',
    supportBigNumbers: true,
    // No server may ask for files of ours.
    flags: ['-LOCAL_FILES'],
    ...(tls && {
      ssl: {
        ...(await loadTls(tls)),
        rejectUnauthorized: !tls.insecure_skip_verify,
        verifyIdentity: !tls.insecure_skip_verify,
      },
    }),
  };
}
