import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { HostPolicy, isFromHere } from '../../component/host-policy.ts';
import { errorMessage } from '../../errors.ts';
import type { Ext } from '../../message/metadata.ts';
import type { ComponentEvents } from '../../telemetry/events.ts';
import { RETRY_AFTER, type Authenticator, type Verdict } from '../../net/auth/authenticator.ts';
import { createAuthenticator } from '../../net/auth/create.ts';
import { FailedLogins } from '../../net/auth/failed-logins.ts';
import type { ServerConfig } from './server-schema.ts';
import { OriginPolicy } from '../../net/origins.ts';
import { addressGroup, TrustedProxies } from '../../net/proxies.ts';
import { offeredProtocols } from '../../net/auth/request.ts';

/** A client that may connect. */
export interface Admitted {
  /** The client's own address, whichever proxies it came through. */
  readonly address: string;
  /** The client's identity, for `__meta_ext`. */
  readonly ext: Ext;
  /** When its credentials expire, in milliseconds since the epoch. */
  readonly expires: number | undefined;
}

/** The answer to a client that may not connect. */
export interface Refused {
  readonly address: string;
  readonly status: number;
  /** For the client. It does not say which part of the credentials was wrong. */
  readonly reason: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** For the log. */
  readonly cause?: string;
}

/** The most clients whose credentials wait while the issuer's keys are fetched; more get 503. */
const MAX_PENDING = 1_000;

/** Headers that a proxy adds. */
const OF_PROXIES = [
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'forwarded',
  'via',
];

/** Decides who may connect to a server. */
export class Admission {
  readonly #events: ComponentEvents;
  readonly #proxies: TrustedProxies;
  readonly #origins: OriginPolicy;
  readonly #hosts: HostPolicy;
  /** Whether `allowed_origins` names the pages that may connect, whatever host they ask for. */
  readonly #originsGiven: boolean;
  readonly #auth: Authenticator | undefined;
  readonly #failedLogins: FailedLogins;
  readonly #protocols: readonly string[];
  #pending = 0;
  #toldOfLoneKey = false;

  constructor(config: ServerConfig, events: ComponentEvents) {
    this.#events = events;
    this.#proxies = new TrustedProxies(config.trusted_proxies);
    this.#origins = new OriginPolicy(config.allowed_origins, this.#proxies);
    this.#hosts = new HostPolicy(config.allowed_hosts);
    this.#originsGiven = config.allowed_origins !== undefined;
    this.#auth = config.auth && createAuthenticator(config.auth, events);
    this.#failedLogins = new FailedLogins(config.limits.failed_logins);
    this.#protocols = config.protocols;
  }

  /** @throws MillraceError MILLRACE_AUTH_UNAVAILABLE if the accepted credentials cannot be read */
  async open(): Promise<void> {
    await this.#auth?.open();
  }

  close(): void {
    this.#auth?.close();
  }

  addressOf(request: IncomingMessage): string {
    return this.#proxies.clientAddress(request);
  }

  /** Decides at once if it can. Neither throws nor rejects. */
  admit(request: IncomingMessage): Admitted | Refused | Promise<Admitted | Refused> {
    const address = this.addressOf(request);
    if (!this.#origins.allows(request)) {
      const cause = `the origin ${(request.headers.origin ?? '').slice(0, 200)} is not allowed; list it in \`allowed_origins\``;
      return { address, status: 403, reason: 'this origin is not allowed', cause };
    }
    const host = this.#proxies.forwarded(request, 'x-forwarded-host') ?? request.headers.host;
    if (this.#asksForHost(request) && !this.#hosts.allows(host)) {
      const cause = `the host ${(host ?? '').slice(0, 200)} is not allowed; list it in \`allowed_hosts\``;
      return { address, status: 403, reason: 'this host is not allowed', cause };
    }
    if (this.#auth === undefined) return { address, ext: {}, expires: undefined };
    if (this.#pending >= MAX_PENDING) return unavailable(address, 'too many clients at once', RETRY_AFTER);
    const look = this.#failedLogins.look(address);
    if (look === undefined) return this.#lockedOut(address);
    const verdict = this.#auth.authenticate(request);
    if (verdict instanceof Promise) return this.#settle(address, verdict, look);
    look.end();
    return this.#conclude(address, verdict);
  }

  /**
   * The subprotocol to select: the first of the configuration that the client offers. An offered secret is never
   * selected. Without `protocols`, it is the first offer that is not a secret, because a browser gives up if it offered
   * some and none is selected.
   */
  selectProtocol(request: IncomingMessage): string | false {
    const offered = offeredProtocols(request);
    const others = offered.filter((name) => this.#auth?.isSecret?.(name) !== true);
    const hasKey = others.length < offered.length;
    if (hasKey && others.length === 0 && !this.#toldOfLoneKey) {
      this.#toldOfLoneKey = true;
      this.#events.noticed(
        { remote_address: this.addressOf(request) },
        'a client offers its key and no other subprotocol; a browser needs one beside the key, which is never selected',
      );
    }
    const chosen = this.#protocols.find((name) => others.includes(name));
    return chosen ?? (hasKey && this.#protocols.length === 0 ? (others[0] ?? false) : false);
  }

  /**
   * Whether the host that a request asks for matters. It does if the file lists the allowed hosts, or if a page could
   * have the same origin as its request only because the page's name resolves to this server. Browsers state the origin
   * of a page, let no page set the headers of a proxy, and refuse a certificate that is not for the name.
   */
  #asksForHost(request: IncomingMessage): boolean {
    if (this.#hosts.given) return true;
    const { headers } = request;
    return (
      headers.origin !== undefined &&
      !this.#originsGiven &&
      isFromHere(request) &&
      !(request.socket as Partial<TLSSocket>).encrypted &&
      !OF_PROXIES.some((name) => headers[name] !== undefined)
    );
  }

  async #settle(
    address: string,
    verdict: Promise<Verdict>,
    look: { end(): void },
  ): Promise<Admitted | Refused> {
    this.#pending++;
    try {
      return this.#conclude(address, await verdict);
    } catch (error) {
      return unavailable(address, errorMessage(error), RETRY_AFTER);
    } finally {
      look.end();
      this.#pending--;
    }
  }

  #conclude(address: string, verdict: Verdict): Admitted | Refused {
    if (verdict.outcome === 'known') {
      const { subject, ext = {}, expires, places } = verdict;
      const group = addressGroup(address);
      if (places?.has(group) === false && this.#failedLogins.guesses(address))
        return this.#lockedOut(address);
      places?.add(group);
      return { address, ext: { ...(subject !== undefined && { subject }), ...ext }, expires };
    }
    const { outcome, cause } = verdict;
    if (outcome === 'forbidden') return { address, status: 403, reason: 'not allowed', cause };
    if (outcome === 'unavailable') return unavailable(address, cause, verdict.retryAfter);
    if (verdict.guess !== false) {
      const locked = this.#failedLogins.retryAfter(address) > 0;
      this.#failedLogins.add(address);
      if (locked) return this.#lockedOut(address);
    }
    const headers = { 'WWW-Authenticate': this.#auth!.challenge };
    return { address, status: 401, reason: 'not authenticated', headers, cause };
  }

  #lockedOut(address: string): Refused {
    const headers = { 'Retry-After': String(Math.max(1, this.#failedLogins.retryAfter(address))) };
    return { address, status: 429, reason: 'too many failures to authenticate', headers };
  }
}

/** `wait` in milliseconds. */
function unavailable(address: string, cause: string, wait: number): Refused {
  const headers = { 'Retry-After': String(Math.max(1, Math.ceil(wait / 1000))) };
  return { address, status: 503, reason: 'cannot authenticate for now', headers, cause };
}
