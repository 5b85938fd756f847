import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { EndOfInputError } from '../../../errors.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { Acceptor } from '../../../websocket/server/acceptor.ts';
import { drainOf, type ServerConfig } from '../../../websocket/server/fields.ts';
import { sessionOptions } from '../../../websocket/server/session-options.ts';
import { Sessions } from '../../../websocket/sessions.ts';
import { speaksWebPubSub, webPubSub } from '../../../websocket/webpubsub/fields.ts';
import { Hub } from '../../../websocket/webpubsub/hub.ts';
import { acknowledgerOf, checkAck } from './acknowledge.ts';
import type { WebSocketInputConfig } from './config.ts';

/** Accepts any number of connections on one path. */
export class WebSocketServerInput implements Input {
  readonly budgeted = true;
  readonly listens = true;
  readonly #config: WebSocketInputConfig;
  readonly #context: Context;
  readonly #sessions: Sessions;
  readonly #acceptor: Acceptor;
  /** Where clients may speak Azure Web PubSub's protocol. */
  readonly #hub: Hub | undefined;
  readonly #closed = new AbortController();
  #source = '';
  #closing = false;

  constructor(config: WebSocketInputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    const server = config as ServerConfig;
    this.#acceptor = new Acceptor(
      server,
      context,
      (socket, connection, ext, expires, request) => {
        const dialect = this.#hub?.connectionOf(socket, request, ext);
        if (dialect === 'refused') return;
        this.#sessions.add(socket, connection, this.#source, ext, expires, dialect);
      },
      () => (this.#sessions.tooMuchToTell ? 'too many lifecycle events wait for the output' : undefined),
    );
    const { path } = this.#acceptor;
    context.sessions.declare(path);
    if (speaksWebPubSub(config.protocols)) {
      this.#hub = new Hub({
        directory: context.sessions,
        path,
        when: config.ack?.when ?? 'delivered',
        recovery: (config.web_pubsub ?? webPubSub.parse({})).recovery,
        refused: (reason, remote_address) =>
          context.events.connectionRefused({ status: 1008, reason, remote_address }),
        take: (session, message) => this.#sessions.take(session, message),
      });
    }
    this.#sessions = new Sessions({
      ...sessionOptions(server, context.events),
      budget: context.stream.budget,
      events: context.events,
      directory: context.sessions,
      path,
      lifecycleEvents: config.lifecycle_events,
      acknowledger: acknowledgerOf(config, context),
      closed: () => this.#endIfEmpty(),
    });
  }

  prepare(): Promise<void> {
    checkAck(this.#config, this.#context);
    this.#acceptor.reserve();
    return Promise.resolve();
  }

  async connect(): Promise<void> {
    const url = await this.#acceptor.listen();
    this.#source = this.#context.name ?? url;
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    const delivery = await this.#sessions.read(signal);
    return this.#hub?.watch(delivery) ?? delivery;
  }

  drain(): void {
    this.#acceptor.stop();
    if (!this.#sessions.awaited) return this.#closeAll();
    const { timeout } = drainOf(this.#config.drain);
    void this.#sessions.settle(timeout, this.#closed.signal).then(
      () => this.#closeAll(),
      () => {},
    );
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#hub?.dispose();
    this.#sessions.dispose();
    await this.#acceptor.close();
  }

  #closeAll(): void {
    this.#closing = true;
    const { code, reason, timeout } = drainOf(this.#config.drain);
    this.#sessions.closeAll(code, reason, timeout);
    this.#endIfEmpty();
  }

  #endIfEmpty(): void {
    if (this.#closing && this.#sessions.size === 0) this.#sessions.inbox.end(new EndOfInputError());
  }
}
