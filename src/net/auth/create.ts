import type { IncomingMessage } from 'node:http';
import type { ComponentEvents } from '../../telemetry/events.ts';
import type { ServerAuth } from './auth-schema.ts';
import { ApiKeyAuth } from './api-key.ts';
import type { Authenticator, Verdict } from './authenticator.ts';
import { BasicAuth } from './basic.ts';
import { BEARER_CHALLENGE, BearerAuth } from './bearer.ts';
import { MutualTlsAuth } from './mtls.ts';

/** The authenticator that a server's configuration asks for. */
export function createAuthenticator(config: ServerAuth, events: ComponentEvents): Authenticator {
  if (config.type === 'basic') return new BasicAuth(config, events);
  if (config.type === 'bearer') return new BearerAuth(config, events);
  if (config.type === 'jwt') return new LateJwtAuth(config, events);
  if (config.type === 'api_key') return new ApiKeyAuth(config, events);
  return new MutualTlsAuth(config);
}

/** Imports the library for tokens when it opens: most servers never need it, and should start without it. */
class LateJwtAuth implements Authenticator {
  readonly challenge = BEARER_CHALLENGE;
  readonly #config: Extract<ServerAuth, { type: 'jwt' }>;
  readonly #events: ComponentEvents;
  #auth: Authenticator | undefined;

  constructor(config: Extract<ServerAuth, { type: 'jwt' }>, events: ComponentEvents) {
    this.#config = config;
    this.#events = events;
  }

  async open(): Promise<void> {
    const { JwtAuth } = await import('./jwt.ts');
    this.#auth ??= new JwtAuth(this.#config, this.#events);
    await this.#auth.open();
  }

  close(): void {
    this.#auth?.close();
  }

  authenticate(request: IncomingMessage): Verdict | Promise<Verdict> {
    return this.#auth!.authenticate(request);
  }
}
