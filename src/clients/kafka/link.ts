import type { Base, BaseOptions, Connection } from '@platformatic/kafka';
import type { Context } from '../../component/context.ts';
import { abortable } from '../../component/waker.ts';
import { MillraceError, NotConnectedError, errorMessage } from '../../errors.ts';
import { readSecret } from '../../net/credentials/read-secret.ts';
import { Deadline } from '../../net/deadline.ts';
import { loadTls } from '../../net/tls.ts';
import { within } from '../within.ts';
import { isAnswer, reasonOf } from './faults.ts';
import type { KafkaConfig } from './fields.ts';

/** Between two attempts of the library at one request. Milliseconds. */
const RETRY_DELAY = 200;

/** An open client of a cluster. It does not connect again once it is cut: the engine makes a new one. */
export class KafkaLink<C extends Base> {
  readonly client: C;
  /** Safe to show. */
  readonly url: string;
  readonly #timeout: number;
  readonly #gone = new AbortController();
  readonly #failed: { last?: Error };
  /** How many answers are waited for. */
  #waiting = 0;
  #isOurs = false;

  private constructor(
    client: C,
    url: string,
    timeout: number,
    { context, failed }: { context: Context; failed: { last?: Error } },
  ) {
    this.client = client;
    this.url = url;
    this.#timeout = timeout;
    this.#failed = failed;
    context.events.connectionOpened({ url });
    // A request that waits for its answer reports it, or gets it through another connection.
    client.connections.on('disconnect', () => {
      if (this.#waiting === 0) this.cut(new NotConnectedError(`${url} closed the connection`));
    });
    this.gone.addEventListener('abort', () => {
      const reason = errorMessage(this.gone.reason);
      context.events.connectionClosed({ code: this.#isOurs ? 1000 : 1006, reason, url });
    });
  }

  /** Aborts when the client is of no more use; its reason says why. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * Connects to the first broker that answers. `make` makes the client, and may let it retry within `timeout`.
   * @throws NotConnectedError; MillraceError of TLS files; the signal's reason
   */
  static async open<C extends Base>(
    config: KafkaConfig,
    context: Context,
    signal: AbortSignal,
    make: (options: BaseOptions) => C | Promise<C>,
  ): Promise<KafkaLink<C>> {
    const url = config.brokers.map((broker) => `kafka://${broker}`).join(',');
    const deadline = new Deadline(signal, config.timeout);
    const failed: { last?: Error } = {};
    let client: C | undefined;
    try {
      const retryDelay = (_: object, __: string, ___: number, ____: number, error: Error): number => {
        failed.last = error;
        return RETRY_DELAY;
      };
      client = await make({ ...(await optionsOf(config)), retryDelay });
      client.connections.on('connecting', ({ connection }: { connection: Connection }) => {
        // Reported where the answer is waited for. Without a listener, Node.js would end the process.
        connection.on('error', () => {});
      });
      await abortable(client.metadata({ topics: [], retries: 0 }), deadline.signal);
      return new KafkaLink(client, url, config.timeout, { context, failed });
    } catch (error) {
      if (client !== undefined) destroy(client);
      if (signal.aborted) throw signal.reason;
      if (error instanceof MillraceError) throw error;
      const reason = deadline.signal.aborted ? errorMessage(deadline.signal.reason) : reasonOf(error);
      throw new NotConnectedError(`cannot connect to ${url}: ${reason}`, error);
    } finally {
      deadline.clear();
    }
  }

  /**
   * Waits for an answer of the brokers. If it does not come in time, all connections are cut.
   * @throws NotConnectedError; an error of a broker, as it is; the signal's reason
   */
  async answer<T>(what: string, ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    this.gone.throwIfAborted();
    const either = AbortSignal.any([signal, this.gone]);
    this.#waiting++;
    delete this.#failed.last;
    try {
      return await within(`${this.url}: ${what}`, ask(), { timeout: this.#timeout, signal: either });
    } catch (error) {
      // Nothing that is still on its way may arrive after a repeat of it.
      if (signal.aborted) this.cut(new NotConnectedError(`${this.url}: an answer was not waited for`));
      else if (error instanceof NotConnectedError) {
        const { last } = this.#failed;
        const why = last && new NotConnectedError(`${error.message}: ${reasonOf(last)}`, last);
        this.cut(why ?? error);
        throw why ?? error;
      } else if (!isAnswer(error)) {
        const away = new NotConnectedError(`${this.url}: ${reasonOf(error)}`, error);
        this.cut(away);
        throw away;
      }
      throw error;
    } finally {
      this.#waiting--;
    }
  }

  /** Resolves when the operating system has everything that was sent: nobody answers messages with `acks: 0`. */
  async flushed(signal: AbortSignal): Promise<void> {
    const flush = ([, { socket }]: [string, Connection]): Promise<void> =>
      new Promise((resolve, reject) => {
        socket.write('', (error) => (error ? reject(error) : resolve()));
      });
    await this.answer('take messages', () => Promise.all([...this.client.connections].map(flush)), signal);
  }

  /** We need it no more. */
  close(): void {
    this.#isOurs = true;
    this.cut(new NotConnectedError('closed'));
  }

  /** Closes all connections at once, for the reason. */
  cut(reason: Error): void {
    this.#gone.abort(reason);
    destroy(this.client);
  }
}

async function optionsOf(config: KafkaConfig): Promise<BaseOptions> {
  const { brokers, client_id, sasl, tls, timeout } = config;
  return {
    clientId: client_id,
    bootstrapBrokers: brokers,
    connectTimeout: timeout,
    requestTimeout: timeout,
    timeout,
    retries: 0,
    ...(tls && {
      tls: { ...(await loadTls(tls)), rejectUnauthorized: !tls.insecure_skip_verify },
      tlsServerName: tls.server_name ?? true,
    }),
    ...(sasl && {
      sasl: {
        mechanism: sasl.mechanism,
        username: sasl.username,
        password: sasl.password ?? (await readSecret(sasl.password_file!, 'sasl.password_file')),
      },
    }),
  };
}

/** `close` alone waits for what a frozen broker has not taken yet. */
function destroy(client: Base): void {
  const connections = [...client.connections].map(([, connection]) => connection);
  void Promise.resolve(client.close()).catch(() => {});
  for (const connection of connections) connection.socket?.destroy();
}
