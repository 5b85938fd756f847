import type { IncomingMessage } from 'node:http';
import type { ComponentEvents } from '../../telemetry/events.ts';
import type { ServerAuth } from './auth-schema.ts';
import type { Authenticator, Verdict } from './authenticator.ts';
import { Granted } from './granted.ts';
import { parseUsers, userGrant } from './grants.ts';

/** Accepts a user and a password in `Authorization` (RFC 7617). */
export class BasicAuth implements Authenticator {
  readonly challenge = 'Basic realm="millrace", charset="UTF-8"';
  readonly #users: Granted;

  constructor(config: Extract<ServerAuth, { type: 'basic' }>, events: ComponentEvents) {
    const users = Object.entries(config.users ?? {}).map(([user, password]) => userGrant(user, password));
    this.#users = new Granted(users, config.users_file, parseUsers, events);
  }

  open(): Promise<void> {
    return this.#users.open();
  }

  close(): void {
    this.#users.close();
  }

  authenticate(request: IncomingMessage): Verdict {
    const encoded = /^basic +([^\s]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    return this.#users.verdict(encoded === undefined ? undefined : Buffer.from(encoded, 'base64'));
  }
}
