import { Budget } from '../../../component/budget.ts';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { openFramer } from '../../../component/framing/open-framing.ts';
import type { Batch } from '../../../message/batch.ts';
import { Acceptor } from '../../../websocket/server/acceptor.ts';
import { drainReason } from '../../../websocket/server/server-schema.ts';
import { sessionOptions } from '../../../websocket/server/session-options.ts';
import type { Session } from '../../../websocket/session.ts';
import { Sessions } from '../../../websocket/sessions.ts';
import { Audience } from './audience.ts';
import { Broadcast } from './broadcast.ts';
import type { ServerOutputConfig } from './config.ts';

/** Listens, and sends to all clients that connect. Their messages are read and dropped, within their limits. */
export class WebSocketListenOutput implements Output {
  readonly toClients = true;
  readonly #config: ServerOutputConfig;
  readonly #audience: Audience;
  readonly #broadcast: Broadcast;
  readonly #sessions: Sessions;
  readonly #acceptor: Acceptor;
  /** Set once it closes: called when the last session has closed. */
  #emptied: (() => void) | undefined;

  constructor(config: ServerOutputConfig, context: Context) {
    this.#config = config;
    this.#audience = new Audience(config.match);
    this.#broadcast = new Broadcast({
      audience: this.#audience,
      policy: config.slow_consumer,
      limit: undefined,
      framer: openFramer(config, context),
      events: context.events,
    });
    this.#acceptor = new Acceptor(this.#config, context, (socket, connection, ext, expires) => {
      const session = this.#sessions.add(socket, connection, '', ext, expires);
      session.intercepts.push(() => drop(session));
      this.#audience.add(session);
    });
    const { path } = this.#acceptor;
    context.sessions.declare(path);
    this.#sessions = new Sessions({
      ...sessionOptions(this.#config, context.events),
      // None of the clients' messages is kept.
      budget: new Budget({ messages: Infinity, bytes: Infinity }),
      events: context.events,
      directory: context.sessions,
      path,
      share: undefined,
      lifecycleEvents: false,
      closed: (session) => {
        this.#audience.remove(session);
        if (this.#sessions.size === 0) this.#emptied?.();
      },
    });
  }

  prepare(): Promise<void> {
    this.#acceptor.reserve();
    return Promise.resolve();
  }

  async connect(): Promise<void> {
    await this.#acceptor.listen();
  }

  write(batch: Batch, { signal }: WriteCall): Promise<WriteResult> {
    return this.#broadcast.write(batch, signal);
  }

  /** The clients have some time to answer, unless the stream must end at once. */
  async close(signal: AbortSignal): Promise<void> {
    this.#acceptor.stop();
    if (this.#sessions.size > 0) {
      const { drain } = this.#config;
      const { promise: over, resolve } = Promise.withResolvers<void>();
      this.#emptied = resolve;
      this.#sessions.closeAll(drain.code, drainReason(drain), drain.timeout);
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (!signal.aborted) await over;
    }
    await Promise.all([this.#sessions.dispose(), this.#acceptor.close()]);
  }
}

function drop(session: Session): true {
  // A message is a sign of life, for `idle_timeout`.
  session.sequence++;
  return true;
}
