import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { MillraceError } from '../../../errors.ts';
import { openFramer } from '../../../component/framing/open-framing.ts';
import type { Batch } from '../../../message/batch.ts';
import { Audience } from './audience.ts';
import { Broadcast } from './broadcast.ts';
import type { ServerOutputConfig } from './config.ts';

/** Sends to the sessions of a path that WebSocket inputs of the file serve. */
export class WebSocketSessionsOutput implements Output {
  readonly toClients = true;
  readonly #path: string;
  readonly #context: Context;
  readonly #audience: Audience;
  readonly #broadcast: Broadcast;
  #unwatch: (() => void) | undefined;

  constructor(config: ServerOutputConfig, context: Context) {
    this.#path = config.path;
    this.#context = context;
    this.#audience = new Audience(config.match);
    this.#broadcast = new Broadcast({
      audience: this.#audience,
      policy: config.slow_consumer,
      limit: config.max_outgoing_bytes,
      framer: openFramer(config, context),
      events: context.events,
    });
    context.sessions.attach(this.#path);
  }

  prepare(): Promise<void> {
    const { sessions } = this.#context;
    if (sessions.paths.includes(this.#path)) return Promise.resolve();
    const there =
      sessions.paths.length === 0
        ? 'this file has no WebSocket server'
        : `the paths of this file’s WebSocket servers: ${sessions.paths.join(', ')}`;
    const message = `nothing serves ${this.#path}; ${there}. To listen on a port, give it \`port\``;
    return Promise.reject(new MillraceError('MILLRACE_CONFIG_INVALID', message, { field: 'path' }));
  }

  connect(): Promise<void> {
    this.#unwatch ??= this.#context.sessions.watch(this.#path, this.#audience);
    return Promise.resolve();
  }

  write(batch: Batch, { signal }: WriteCall): Promise<WriteResult> {
    return this.#broadcast.write(batch, signal);
  }

  close(): Promise<void> {
    this.#unwatch?.();
    this.#unwatch = undefined;
    return Promise.resolve();
  }
}
