import type { Backoff } from '../../../component/backoff.ts';
import type { Input, InputContext } from '../../../component/contracts.ts';
import { backoffOf } from '../../../component/fields.ts';
import { maskUrl } from '../../../component/mask.ts';
import { EndOfInputError, NotConnectedError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { Connector } from '../../../websocket/client/connector.ts';
import { describeEnding } from '../../../websocket/ending.ts';
import { NO_TIMEOUT } from '../../../websocket/server/acceptor.ts';
import type { Session } from '../../../websocket/session.ts';
import { Sessions } from '../../../websocket/sessions.ts';
import type { WebSocketInputConfig } from './config.ts';

/** One connection to a server. When it is lost, what had arrived is read first, then the engine connects again. */
export class WebSocketClientInput implements Input {
  readonly budgeted = true;
  readonly backoff: Backoff;
  readonly #name: string | undefined;
  readonly #connector: Connector;
  readonly #sessions: Sessions;
  /** The connection that counts; an older one may still be closing. */
  #current: Session | undefined;
  #draining = false;

  constructor(config: WebSocketInputConfig, context: InputContext) {
    const url = config.url as string;
    this.#name = context.name;
    this.backoff = backoffOf(config.reconnect);
    this.#connector = new Connector({ url, config, env: context.env, closeTimeout: NO_TIMEOUT });
    this.#sessions = new Sessions({
      budget: context.budget,
      events: context.events,
      directory: context.sessions,
      path: url,
      pingInterval: config.ping_interval,
      pingTimeout: config.ping_timeout,
      share: 1,
      lifecycleEvents: config.lifecycle_events,
      closed: (session, ending) => {
        if (session !== this.#current) return;
        const lost = new NotConnectedError(describeEnding(url, ending, session.ours !== undefined));
        this.#sessions.inbox.end(this.#draining ? new EndOfInputError() : lost);
      },
    });
  }

  async connect(signal: AbortSignal): Promise<void> {
    this.#sessions.inbox.reopen();
    await this.#connector.open(signal, (socket, connection, url) => {
      this.#current = this.#sessions.add(socket, connection, this.#name ?? maskUrl(url), {
        remote_address: connection.remoteAddress ?? '',
        path: new URL(url).pathname,
        protocol: socket.protocol,
      });
      return this.#current;
    });
  }

  read(signal: AbortSignal): Promise<Batch> {
    return this.#sessions.read(signal);
  }

  drain(): void {
    this.#draining = true;
    if (this.#sessions.size === 0) this.#sessions.inbox.end(new EndOfInputError());
    else this.#sessions.closeAll(1000, 'done');
  }

  close(): Promise<void> {
    this.#sessions.dispose();
    return Promise.resolve();
  }
}
