import type { IncomingMessage } from 'node:http';
import type { ComponentEvents } from '../../telemetry/events.ts';
import type { ServerAuth } from './auth-schema.ts';
import { queryOf } from './request.ts';
import type { Authenticator, Verdict } from './authenticator.ts';
import { Granted } from './granted.ts';
import { parseTokens, tokenGrant } from './grants.ts';

export const BEARER_CHALLENGE = 'Bearer realm="millrace"';

/** Accepts a token from a list, in `Authorization` (RFC 6750) or in a query parameter. */
export class BearerAuth implements Authenticator {
  readonly challenge = BEARER_CHALLENGE;
  readonly #query: string | undefined;
  readonly #tokens: Granted;

  constructor(config: Extract<ServerAuth, { type: 'bearer' }>, events: ComponentEvents) {
    this.#query = config.query;
    this.#tokens = new Granted(
      (config.tokens ?? []).map(tokenGrant),
      config.tokens_file,
      parseTokens,
      events,
    );
  }

  open(): Promise<void> {
    return this.#tokens.open();
  }

  close(): void {
    this.#tokens.close();
  }

  authenticate(request: IncomingMessage): Verdict {
    return this.#tokens.verdict(bearerToken(request, this.#query));
  }
}

/** The client's token. The header takes precedence over the query parameter. */
export function bearerToken(request: IncomingMessage, query: string | undefined): string | undefined {
  const token = /^bearer +([^\s]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token !== undefined) return utf8(token);
  return query === undefined ? undefined : queryOf(request).get(query) || undefined;
}

/** Node reads header values as Latin-1; the secrets of the configuration are UTF-8. */
export function utf8(value: string): string {
  return Buffer.from(value, 'latin1').toString();
}
