import type { Input, InputContext } from '../../../component/contracts.ts';
import { EndOfInputError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { Acceptor } from '../../../websocket/server/acceptor.ts';
import { limitsOf, type ServerConfig } from '../../../websocket/server/fields.ts';
import { Sessions } from '../../../websocket/sessions.ts';
import type { WebSocketInputConfig } from './config.ts';

/** Accepts any number of connections on one path. */
export class WebSocketServerInput implements Input {
  readonly budgeted = true;
  readonly listens = true;
  readonly #config: WebSocketInputConfig;
  readonly #name: string | undefined;
  readonly #sessions: Sessions;
  readonly #acceptor: Acceptor;
  #source = '';
  #draining = false;

  constructor(config: WebSocketInputConfig, context: InputContext) {
    this.#config = config;
    this.#name = context.name;
    this.#acceptor = new Acceptor(config as ServerConfig, context, (socket, connection, ext) => {
      this.#sessions.add(socket, connection, this.#source, ext);
    });
    const { path } = this.#acceptor;
    context.sessions.declare(path);
    this.#sessions = new Sessions({
      budget: context.budget,
      events: context.events,
      directory: context.sessions,
      path,
      pingInterval: config.ping_interval,
      pingTimeout: config.ping_timeout,
      share: limitsOf(config.limits).in_flight_share,
      lifecycleEvents: config.lifecycle_events,
      closed: () => this.#endIfDrained(),
    });
  }

  async connect(): Promise<void> {
    const url = await this.#acceptor.listen();
    this.#source = this.#name ?? url;
  }

  read(signal: AbortSignal): Promise<Batch> {
    return this.#sessions.read(signal);
  }

  drain(): void {
    this.#draining = true;
    this.#acceptor.stop();
    const { code = 1001, timeout } = this.#config.drain ?? {};
    this.#sessions.closeAll(code, code === 1012 ? 'service restart' : 'going away', timeout);
    this.#endIfDrained();
  }

  async close(): Promise<void> {
    this.#sessions.dispose();
    await this.#acceptor.close();
  }

  #endIfDrained(): void {
    if (this.#draining && this.#sessions.size === 0) this.#sessions.inbox.end(new EndOfInputError());
  }
}
