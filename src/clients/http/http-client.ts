import type { IncomingMessage } from 'node:http';
import type { ClientTls } from '../../component/fields.ts';
import { maskUrl } from '../../component/mask.ts';
import { errorMessage, MillraceError, NotConnectedError } from '../../errors.ts';
import type { ClientAuth } from '../../net/auth/auth-schema.ts';
import { Secrets } from '../../net/attempt-secrets.ts';
import { Credentials } from '../../net/credentials/credentials.ts';
import { attemptError, Deadline } from '../../net/deadline.ts';
import type { Proxies } from '../../net/proxy/proxy.ts';
import { redirectTarget, requestTarget } from '../../net/request-target.ts';
import { http } from '../../node-http.ts';
import { ConnectingAgent } from './connecting-agent.ts';

/** A request, with everything filled in. */
export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

/** An answer to it. */
export interface HttpAnswer {
  readonly status: number;
  /** For people, unless the status is 2xx: the request, the status, and the beginning of the answer’s text, without secrets. */
  readonly shown: string;
  readonly retryAfter: string | undefined;
}

export interface HttpClientOptions {
  readonly tls: ClientTls | undefined;
  readonly auth: ClientAuth | undefined;
  readonly proxies: Proxies;
  /** How long a request may take with everything before it, in milliseconds. */
  readonly timeout: number;
  /** The most connections to one server. */
  readonly maxSockets: number;
}

/** The most of an answer that is read: a connection whose answer is longer is not used again. Bytes. */
const LONGEST_ANSWER = 1024 * 1024;

/** The most of its text that is shown, in characters. */
const LONGEST_SHOWN = 300;

const MAX_REDIRECTS = 5;

/** 303 is an answer about something else. For the others, a client may keep the method (RFC 9110 section 15.4). */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);

/** Sends requests to HTTP servers over connections that it keeps. */
export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #credentials: Credentials;
  readonly #agents = new Map<string, ConnectingAgent>();
  #last: { readonly text: string; readonly url: URL; readonly target: string } | undefined;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#credentials = Credentials.of(options.auth, options.proxies);
  }

  /** Connects to the server of a URL and hangs up. @throws NotConnectedError; the signal's reason */
  async reach(url: string, signal: AbortSignal): Promise<void> {
    const deadline = new Deadline(signal, this.#options.timeout);
    try {
      await this.#credentials.get(deadline);
      const socket = await this.#agentOf(new URL(url)).open(deadline.signal);
      socket.on('error', () => {});
      socket.destroy();
    } catch (error) {
      throw this.#failure(`cannot connect to ${maskUrl(url)}`, error, deadline.signal);
    } finally {
      deadline.clear();
    }
  }

  /**
   * The server's answer, whatever its status. Redirects on the same host are followed.
   * @throws NotConnectedError if there is none; the signal's reason
   */
  async send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const deadline = new Deadline(signal, this.#options.timeout);
    try {
      const credential = await this.#credentials.get(deadline);
      const { authorization } = credential;
      const sent =
        authorization === undefined
          ? request
          : { ...request, headers: { ...request.headers, authorization } };
      const answer = await this.#follow(sent, deadline);
      if (answer.status === 401) this.#credentials.refused(credential);
      return answer;
    } catch (error) {
      throw this.#failure(`${request.method} ${maskUrl(request.url)}`, error, deadline.signal);
    } finally {
      deadline.clear();
    }
  }

  /** Cuts all connections. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  async #follow(request: HttpRequest, deadline: Deadline): Promise<HttpAnswer> {
    let { url, target } = this.#placeOf(request.url);
    for (let redirects = 0; ; redirects++) {
      const response = await this.#exchange(url, target, request, deadline);
      const { statusCode: status = 0, headers } = response;
      const text = await textOf(response);
      // Most answers are never shown.
      if (status >= 200 && status <= 299) return { status, shown: '', retryAfter: undefined };
      const { location, 'retry-after': retryAfter } = headers;
      const next = REDIRECTS.has(status) && location !== undefined ? URL.parse(location, url.href) : null;
      const why = redirects === MAX_REDIRECTS ? 'too many redirects' : next && refusalOf(url, next);
      if (next === null || why !== undefined)
        return { status, shown: shownOf(request, url, response, [text, why ?? '']), retryAfter };
      target = redirectTarget(location!, target, next);
      next.username = url.username;
      next.password = url.password;
      url = next;
    }
  }

  /** Most requests have the URL of the one before. */
  #placeOf(url: string): { readonly url: URL; readonly target: string } {
    if (this.#last?.text !== url) this.#last = { text: url, url: new URL(url), target: requestTarget(url) };
    return this.#last;
  }

  /** The server may close a connection just when it is used again: then the request goes out on a new one. */
  async #exchange(
    url: URL,
    target: string,
    request: HttpRequest,
    deadline: Deadline,
  ): Promise<IncomingMessage> {
    for (;;) {
      const agent = this.#agentOf(url);
      const sent = http.request({
        agent,
        host: url.hostname,
        port: url.port,
        method: request.method,
        path: target,
        headers: { host: url.host, ...request.headers, ...lengthOf(request.body) },
        signal: deadline.signal,
        ...(url.username !== '' && {
          auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`,
        }),
      });
      try {
        return await new Promise<IncomingMessage>((resolve, reject) => {
          sent.once('response', resolve).on('error', reject).end(request.body);
        });
      } catch (error) {
        const isStale = sent.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET';
        if (!isStale || deadline.signal.aborted) throw error;
      }
    }
  }

  #agentOf(url: URL): ConnectingAgent {
    const key = `${url.protocol}//${url.host}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      const { maxSockets } = this.#options;
      agent = new ConnectingAgent(url, this.#options, { maxSockets, maxFreeSockets: maxSockets });
      this.#agents.set(key, agent);
    }
    return agent;
  }

  #failure(what: string, error: unknown, signal: AbortSignal): Error {
    if (error instanceof NotConnectedError && !signal.aborted) return error;
    if (error instanceof MillraceError && !signal.aborted)
      return new NotConnectedError(`${what}: ${error.message}`, error);
    return attemptError(what, new Error(reasonOf(error), { cause: error }), signal);
  }
}

/** The request and the answer to it for people, without secrets that the server may have quoted. */
function shownOf(
  { method, url: asked, headers }: HttpRequest,
  url: URL,
  { statusCode, statusMessage = '' }: IncomingMessage,
  notes: readonly string[],
): string {
  const secrets = new Secrets();
  secrets.addRequest({ url, headers, protocols: [] });
  const said = [`${statusCode} ${statusMessage}`.trim(), ...notes].filter((note) => note !== '');
  return `${method} ${maskUrl(asked)} was answered ${secrets.mask(said.join(': '))}`;
}

function lengthOf(body: Uint8Array | undefined): { 'content-length'?: number } {
  return body === undefined ? {} : { 'content-length': body.length };
}

/** Why a redirect is not followed: the credentials and the data are for one host. Undefined if it is. */
function refusalOf(from: URL, to: URL): string | undefined {
  const upgraded = from.protocol === 'http:' && to.protocol === 'https:';
  const shown = maskUrl(to.href);
  if (!upgraded && to.protocol !== from.protocol) return `a redirect to ${shown}, which is not followed`;
  if (to.hostname !== from.hostname || (to.port !== from.port && !upgraded))
    return `a redirect to ${shown}, another host, which is not followed; use that URL if you trust it`;
  return undefined;
}

/** Reads an answer to its end, so that the connection can be used again; returns the beginning of its text. */
async function textOf(response: IncomingMessage): Promise<string> {
  const status = response.statusCode ?? 0;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (status >= 300 && length < LONGEST_SHOWN * 4) chunks.push(chunk);
    length += chunk.length;
    if (length > LONGEST_ANSWER) break;
  }
  const isText = /^(?:text\/(?!html)|application\/(?:[\w.+-]*\+)?json)/i.test(
    response.headers['content-type'] ?? '',
  );
  if (!isText || response.headers['content-encoding'] !== undefined) return '';
  return Buffer.concat(chunks).toString().slice(0, LONGEST_SHOWN).replaceAll(/\s+/g, ' ').trim();
}

const UNTRUSTED = /UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|SELF_SIGNED_CERT/;

function reasonOf(thrown: unknown): string {
  const error = thrown as Error & { code?: string };
  // Node gives one error per address of a host, in an error without a message.
  if (error instanceof AggregateError) return error.errors.map((each) => errorMessage(each)).join('; ');
  const { code = '' } = error;
  if (UNTRUSTED.test(code))
    return `the authority of the server’s certificate is not trusted (${code}); name the authority’s certificate in \`tls.ca_file\``;
  if (/ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE/.test(code))
    return `the server refused the TLS handshake (${code}); it may want a client certificate: set \`tls.cert_file\` and \`tls.key_file\``;
  if (errorMessage(error).includes('wrong version number'))
    return 'the server does not speak TLS on this port; use http://';
  if (error.message === 'socket hang up') return 'the server ended the connection instead of answering';
  return errorMessage(error);
}
