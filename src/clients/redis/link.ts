import type { Socket } from 'node:net';
import type { Cluster, Redis, RedisOptions } from 'iovalkey';
import type { Context } from '../../component/context.ts';
import { maskUrl } from '../../component/mask.ts';
import { abortable } from '../../component/waker.ts';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import { readSecret } from '../../net/credentials/read-secret.ts';
import { attemptError, Deadline } from '../../net/deadline.ts';
import { loadTls } from '../../net/tls.ts';
import { within } from '../within.ts';
import type { RedisConfig } from './fields.ts';
import { isAway } from './replies.ts';

/** A command: its name and its arguments. */
export type RedisCommand = readonly (string | number | Buffer)[];

/** An answer, or the error that the server answered with. */
export type RedisReply = unknown;

/** An open connection, to a server or to a cluster. It does not connect again: the engine makes a new one. */
export class RedisLink {
  readonly client: Redis | Cluster;
  /** Safe to show. */
  readonly url: string;
  readonly #timeout: number;
  readonly #gone = new AbortController();
  #isOurs = false;

  private constructor(client: Redis | Cluster, url: string, timeout: number, context: Context) {
    this.client = client;
    this.url = url;
    this.#timeout = timeout;
    context.events.connectionOpened({ url });
    let reason = '';
    client.on('error', (error: Error) => (reason = errorMessage(error)));
    client.once('end', () =>
      this.cut(new NotConnectedError(`${url} closed the connection${reason === '' ? '' : `: ${reason}`}`)),
    );
    this.gone.addEventListener('abort', () => {
      const { message } = this.gone.reason as Error;
      context.events.connectionClosed({ code: this.#isOurs ? 1000 : 1006, reason: message, url });
    });
  }

  get isCluster(): boolean {
    return 'nodes' in this.client;
  }

  /** Aborts when the connection is gone; its reason says why. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** @throws NotConnectedError; the signal's reason */
  static async open(config: RedisConfig, context: Context, signal: AbortSignal): Promise<RedisLink> {
    const { mode, timeout } = config;
    const servers = (mode.type === 'single' ? [mode.url] : mode.urls).map((each) => new URL(each));
    const url = servers.map(({ href }) => maskUrl(href)).join(',');
    const deadline = new Deadline(signal, timeout);
    let client: Redis | Cluster | undefined;
    try {
      const { Redis, Cluster } = await import('iovalkey');
      const options = await optionsOf(servers[0]!, config, context);
      if (mode.type === 'single') client = new Redis(options);
      else {
        const nodes = servers.map((server) => ({ host: hostOf(server), port: portOf(server) }));
        client = new Cluster(nodes, {
          lazyConnect: true,
          enableOfflineQueue: false,
          clusterRetryStrategy: () => null,
          slotsRefreshTimeout: timeout,
          redisOptions: options,
          // The names in a certificate are those that the file gives.
          dnsLookup: (address, callback) => callback(null, address),
        });
      }
      // The library reports here why an attempt fails, and throws it nowhere else.
      let last: Error | undefined;
      client.on('error', (error: Error) => (last = error));
      client.on('node error', (error: Error) => (last = error));
      const opening = client.connect().catch((error: unknown) => {
        throw last ?? error;
      });
      await abortable(opening, deadline.signal);
      // After a wrong password, the library goes on as the default user.
      if (last !== undefined && isReply(last)) throw last;
      return new RedisLink(client, url, timeout, context);
    } catch (error) {
      if (client !== undefined) destroy(client);
      throw attemptError(`cannot connect to ${url}`, error, deadline.signal);
    } finally {
      deadline.clear();
    }
  }

  /**
   * Sends the commands together and returns the answer to each. With `atomic`, a single server executes all of them or
   * none; a command that it cannot even queue, and thereby all others, has an error as its answer.
   * @throws NotConnectedError; the signal's reason
   */
  async run(
    commands: readonly RedisCommand[],
    signal: AbortSignal,
    { atomic = false, wait = 0 }: { atomic?: boolean; wait?: number } = {},
  ): Promise<RedisReply[]> {
    const { client } = this;
    if (this.gone.aborted) throw this.gone.reason;
    const sent =
      'nodes' in client
        ? Promise.all(commands.map((command) => sendTo(client, command)))
        : pipelined(client, commands, atomic);
    const either = AbortSignal.any([signal, this.gone]);
    try {
      const replies = await within(`${this.url}: answer`, sent, {
        timeout: this.#timeout + wait,
        signal: either,
      });
      const away = replies.find((reply) => isAway(reply));
      if (away !== undefined) throw new NotConnectedError(`${this.url}: ${errorMessage(away)}`, away);
      return replies;
    } catch (error) {
      // Whatever is still on its way must not be answered to the next who asks.
      if (error instanceof NotConnectedError) this.cut(error);
      else if (signal.aborted) {
        // Nobody is at fault: it is no warning.
        this.#isOurs = true;
        this.cut(new NotConnectedError(`${this.url}: an answer was not waited for`));
      }
      throw error;
    }
  }

  /** Reads nothing more from a single server, which then waits, until `resume`. */
  pause(): void {
    socketOf(this.client)?.pause();
  }

  resume(): void {
    socketOf(this.client)?.resume();
  }

  /** Closes the connection at once, in good order. */
  close(): void {
    this.#isOurs = true;
    this.cut(new NotConnectedError('closed'));
  }

  /** Closes the connection at once, for the reason. */
  cut(reason: Error): void {
    this.#gone.abort(reason);
    destroy(this.client);
  }
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

function portOf({ port }: URL): number {
  return port === '' ? 6379 : Number(port);
}

async function optionsOf(server: URL, config: RedisConfig, { stream }: Context): Promise<RedisOptions> {
  const { tls, timeout } = config;
  const username = config.username ?? decodeURIComponent(server.username);
  const password =
    config.password ??
    (config.password_file === undefined
      ? decodeURIComponent(server.password)
      : await readSecret(config.password_file, 'password_file'));
  return {
    host: hostOf(server),
    port: portOf(server),
    db: Number(server.pathname.slice(1)),
    // With a password alone, the library writes a warning to the console if the server needs none.
    ...(password !== '' && { username: username === '' ? 'default' : username, password }),
    ...((tls !== undefined || server.protocol === 'rediss:') && {
      tls: {
        ...(tls && (await loadTls(tls))),
        ...(tls?.server_name !== undefined && { servername: tls.server_name }),
        rejectUnauthorized: tls?.insecure_skip_verify !== true,
      },
    }),
    connectionName: `millrace-${stream.id.replaceAll(/[^!-~]/g, '_')}`,
    connectTimeout: timeout,
    lazyConnect: true,
    retryStrategy: () => null,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
  };
}

/** `disconnect` alone waits two seconds for a server that is frozen. */
function destroy(client: Redis | Cluster): void {
  const nodes = 'nodes' in client ? client.nodes('all') : [client];
  client.disconnect();
  for (const node of nodes) socketOf(node)?.destroy();
}

/** The library declares it private. */
function socketOf(client: Redis | Cluster): Socket | undefined {
  return (client as unknown as { stream?: Socket }).stream;
}

async function sendTo(client: Redis | Cluster, [name, ...args]: RedisCommand): Promise<RedisReply> {
  try {
    return await client.callBuffer(String(name), ...args);
  } catch (error) {
    if (isReply(error)) return error;
    throw error;
  }
}

async function pipelined(
  client: Redis,
  commands: readonly RedisCommand[],
  atomic: boolean,
): Promise<RedisReply[]> {
  const pipeline = client.pipeline();
  if (atomic) pipeline.call('multi');
  for (const [name, ...args] of commands) pipeline.callBuffer(String(name), ...args);
  if (atomic) pipeline.call('exec');
  const results = (await pipeline.exec()) ?? [];
  for (const [error] of results) if (error !== null && !isReply(error)) throw error;
  const replies = results.map(([error, reply]) => error ?? reply);
  if (!atomic) return replies;
  const executed = replies.at(-1);
  return Array.isArray(executed) ? executed : replies.slice(1, -1);
}

function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}
