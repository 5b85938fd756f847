import type { Input, InputContext } from '../../../component/contracts.ts';
import { EndOfInputError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { Acceptor } from '../../../websocket/server/acceptor.ts';
import { drainOf, type ServerConfig } from '../../../websocket/server/fields.ts';
import { sessionOptions } from '../../../websocket/server/session-options.ts';
import { Sessions } from '../../../websocket/sessions.ts';
import type { WebSocketInputConfig } from './config.ts';

/** Accepts any number of connections on one path. */
export class WebSocketServerInput implements Input {
  readonly budgeted = true;
  readonly listens = true;
  readonly #config: WebSocketInputConfig;
  readonly #context: InputContext;
  readonly #sessions: Sessions;
  readonly #acceptor: Acceptor;
  readonly #closed = new AbortController();
  #source = '';
  #closing = false;

  constructor(config: WebSocketInputConfig, context: InputContext) {
    this.#config = config;
    this.#context = context;
    const server = config as ServerConfig;
    this.#acceptor = new Acceptor(server, context, (socket, connection, ext, expires) => {
      this.#sessions.add(socket, connection, this.#source, ext, expires);
    });
    const { path } = this.#acceptor;
    context.sessions.declare(path);
    this.#sessions = new Sessions({
      ...sessionOptions(server, context.events),
      budget: context.budget,
      events: context.events,
      directory: context.sessions,
      path,
      lifecycleEvents: config.lifecycle_events,
      closed: () => this.#endIfEmpty(),
    });
  }

  prepare(): Promise<void> {
    this.#acceptor.reserve();
    return Promise.resolve();
  }

  async connect(): Promise<void> {
    const url = await this.#acceptor.listen();
    this.#source = this.#context.name ?? url;
  }

  read(signal: AbortSignal): Promise<Batch> {
    return this.#sessions.read(signal);
  }

  drain(): void {
    this.#acceptor.stop();
    const { sessions } = this.#context;
    if (!sessions.attached(this.#acceptor.path)) return this.#closeAll();
    // An output still has answers for them.
    const { timeout } = drainOf(this.#config.drain);
    void this.#sessions.settle(timeout, this.#closed.signal).then(
      () => this.#closeAll(),
      () => {},
    );
  }

  async close(): Promise<void> {
    this.#closed.abort();
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
