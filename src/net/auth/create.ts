import type { ComponentEvents } from '../../telemetry/events.ts';
import type { ServerAuth } from './auth-schema.ts';
import { ApiKeyAuth } from './api-key.ts';
import type { Authenticator } from './authenticator.ts';
import { BasicAuth } from './basic.ts';
import { BearerAuth } from './bearer.ts';
import { JwtAuth } from './jwt.ts';
import { MutualTlsAuth } from './mtls.ts';

/** The authenticator that a server's configuration asks for. */
export function createAuthenticator(config: ServerAuth, events: ComponentEvents): Authenticator {
  if (config.type === 'basic') return new BasicAuth(config, events);
  if (config.type === 'bearer') return new BearerAuth(config, events);
  if (config.type === 'jwt') return new JwtAuth(config, events);
  if (config.type === 'api_key') return new ApiKeyAuth(config, events);
  return new MutualTlsAuth(config);
}
