import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { EndOfInputError } from '../../../errors.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { Acceptor } from '../../../websocket/server/acceptor.ts';
import { drainReason } from '../../../websocket/server/server-schema.ts';
import { sessionOptions } from '../../../websocket/server/session-options.ts';
import { Sessions } from '../../../websocket/sessions.ts';
import { speaksWebPubSub } from '../../../websocket/webpubsub/web-pubsub-schema.ts';
import { Hub } from '../../../websocket/webpubsub/hub.ts';
import { openUnframer } from '../../../component/framing/open-framing.ts';
import { acknowledgerOf, checkAck } from './acknowledge.ts';
import type { ServerInputConfig } from './config.ts';

/** Accepts any number of connections on one path. */
export class WebSocketServerInput implements Input {
  readonly budgeted = true;
  readonly gathers = true;
  readonly listens = true;
  readonly #config: ServerInputConfig;
  readonly #context: Context;
  readonly #sessions: Sessions;
  readonly #acceptor: Acceptor;
  /** Present if clients may speak Azure Web PubSub's protocol. */
  readonly #hub: Hub | undefined;
  readonly #closed = new AbortController();
  #source = '';
  #closing = false;

  constructor(config: ServerInputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    this.#acceptor = new Acceptor(
      config,
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
        recovery: config.web_pubsub.recovery,
        refused: (reason, remote_address) =>
          context.events.connectionRefused({ status: 1008, reason, remote_address }),
        take: (session, message) => this.#sessions.take(session, message),
      });
    }
    this.#sessions = new Sessions({
      ...sessionOptions(config, context.events),
      budget: context.stream.budget,
      state: context.stream.stateBudget,
      events: context.events,
      directory: context.sessions,
      path,
      lifecycleEvents: config.lifecycle_events,
      unframer: openUnframer(config, context),
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
    const { timeout } = this.#config.drain;
    void this.#sessions.settle(timeout, this.#closed.signal).then(
      () => this.#closeAll(),
      () => {},
    );
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#hub?.dispose();
    await Promise.all([this.#sessions.dispose(), this.#acceptor.close()]);
  }

  #closeAll(): void {
    this.#closing = true;
    const { drain } = this.#config;
    this.#sessions.closeAll(drain.code, drainReason(drain), drain.timeout);
    this.#endIfEmpty();
  }

  #endIfEmpty(): void {
    if (this.#closing && this.#sessions.size === 0) this.#sessions.inbox.end(new EndOfInputError());
  }
}
