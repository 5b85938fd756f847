import type { IncomingMessage } from 'node:http';
import type { ComponentEvents } from '../../telemetry/events.ts';
import type { ServerAuth } from './auth-schema.ts';
import { offeredProtocols, queryOf } from './request.ts';
import type { Authenticator, Verdict } from './authenticator.ts';
import { utf8 } from './bearer.ts';
import { Granted } from './granted.ts';
import { parseTokens, tokenGrant } from './grants.ts';

/** Accepts a key from a list, in a header, a query parameter, or a subprotocol, which browsers can send. */
export class ApiKeyAuth implements Authenticator {
  readonly challenge = 'ApiKey realm="millrace"';
  readonly #header: string;
  readonly #query: string | undefined;
  readonly #prefix: string | undefined;
  readonly #keys: Granted;

  constructor(config: Extract<ServerAuth, { type: 'api_key' }>, events: ComponentEvents) {
    this.#header = config.header;
    this.#query = config.query;
    this.#prefix = config.subprotocol;
    this.#keys = new Granted((config.keys ?? []).map(tokenGrant), config.keys_file, parseTokens, events);
  }

  open(): Promise<void> {
    return this.#keys.open();
  }

  close(): void {
    this.#keys.close();
  }

  authenticate(request: IncomingMessage): Verdict {
    return this.#keys.verdict(this.#keyOf(request));
  }

  isSecret(protocol: string): boolean {
    return this.#prefix !== undefined && protocol.startsWith(this.#prefix);
  }

  /** Reads one key per request, so that a request is one guess. */
  #keyOf(request: IncomingMessage): string | undefined {
    const header = request.headers[this.#header];
    if (typeof header === 'string' && header !== '') return utf8(header.trim());
    const query = this.#query === undefined ? undefined : queryOf(request).get(this.#query);
    if (query) return query;
    const protocol = offeredProtocols(request).find((each) => this.isSecret(each));
    return protocol?.slice(this.#prefix!.length);
  }
}
