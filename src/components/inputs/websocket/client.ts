import type { Backoff } from '../../../component/backoff.ts';
import { defaultBackoff } from '../../../component/backoff.ts';
import type { Input, InputContext } from '../../../component/contracts.ts';
import { maskUrl } from '../../../component/mask.ts';
import { describeEnding, dialWebSocket } from '../../../component/websocket.ts';
import { EndOfInputError, NotConnectedError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import type { WebSocketInputConfig } from './config.ts';
import { NO_TIMEOUT, Sessions } from './sessions.ts';

const HANDSHAKE_TIMEOUT = 10_000;

/** One connection to a server. When it is lost, what had arrived is read first, then the engine connects again. */
export class WebSocketClientInput implements Input {
  readonly budgeted = true;
  readonly backoff: Backoff;
  readonly #config: WebSocketInputConfig;
  readonly #url: string;
  readonly #source: string;
  readonly #sessions: Sessions;
  #draining = false;

  constructor(config: WebSocketInputConfig, context: InputContext) {
    this.#config = config;
    this.#url = config.url ?? '';
    this.#source = context.name ?? maskUrl(this.#url);
    this.backoff = {
      ...defaultBackoff,
      ...config.reconnect,
      attempts: config.reconnect?.attempts ?? Infinity,
    };
    this.#sessions = new Sessions(config, context, (ending, ours) => {
      const lost = new NotConnectedError(describeEnding(this.#url, ending, ours));
      this.#sessions.inbox.end(this.#draining ? new EndOfInputError() : lost);
    });
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { headers = {}, protocols, timeout = HANDSHAKE_TIMEOUT, max_message_size, tls } = this.#config;
    this.#sessions.inbox.reopen();
    const options = {
      url: this.#url,
      headers,
      protocols,
      timeout,
      closeTimeout: NO_TIMEOUT,
      maxMessageSize: max_message_size,
      tls,
    };
    await dialWebSocket(options, signal, (socket, connection) => {
      this.#sessions.add(socket, connection, this.#source, {
        path: new URL(this.#url).pathname,
        protocol: socket.protocol,
      });
    });
  }

  read(signal: AbortSignal): Promise<Batch> {
    return this.#sessions.inbox.read(signal);
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
