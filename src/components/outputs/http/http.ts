import { HttpClient, type HttpAnswer } from '../../../clients/http/http-client.ts';
import { Refusals } from '../../../clients/refusals.ts';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteOrder, WriteResult } from '../../../component/contracts.ts';
import { defineOutput } from '../../../component/define.ts';
import { declareErrors, MillraceError, NotConnectedError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { readRetryAfter } from '../../../net/retry-after.ts';
import { Proxies } from '../../../net/proxy/proxy.ts';
import { schema, type HttpOutputConfig } from './config.ts';
import { Requests, type MessagesRequest } from './requests.ts';

/** Codes of answers that do not confirm a message. */
export const httpErrors = declareErrors({
  MILLRACE_HTTP_REFUSED: {
    help: 'The server answered a request with a status that is about the message, such as 400, 413 or 422. The message went to `error_output`; its error has the beginning of the answer’s text.',
    told: 'the server refused the message',
  },
  MILLRACE_HTTP_FAILED: {
    help: 'The server answered with a status that is about no message, such as 401, 404, 500 or a redirect to another host. The output sends the messages again, and readiness shows the answer.',
  },
});

/** Statuses of 4xx that are about the credentials, the URL, the method or the moment, and not about a message. */
const NOT_THE_MESSAGE: ReadonlySet<number> = new Set([
  401, 402, 403, 404, 405, 407, 408, 421, 423, 425, 426, 429,
]);

/** Sends messages in HTTP requests. */
export const httpOutput = defineOutput({
  type: 'http',
  summary: 'Sends messages to an HTTP server: one in each request, as JSON arrays, or as lines.',
  status: 'beta',
  framing: 'none',
  description: `A message is confirmed when the server has answered its request with 2xx. Any other answer, or none:

- 400, 409, 410, 413, 415, 422 and other 4xx that are about the request: the message goes to \`error_output\` with MILLRACE_HTTP_REFUSED and the beginning of the answer’s text. With \`array\` and \`ndjson\`, the output sends the halves of the request again until it knows which messages the server refuses; the others are written.
- 401, 402, 403, 404, 405, 407, 408, 421, 423, 425, 426, 429, 5xx, and redirects to another host: no message is at fault. The output sends again, with pauses, and readiness shows the answer. After 401, a token of OAuth2 is fetched anew. \`Retry-After\` of 429 and 503 is respected, up to an hour.
- Redirects (301, 302, 307, 308) on the same host, or from there to its \`https:\` port, are followed with the same method and body.

Repeats: each request has an \`Idempotency-Key\` that is the same at each attempt, and after a restart if the stream has a log. Servers that know it drop repeats. With others, a request whose answer was lost arrives twice; with \`array\` and \`ndjson\`, so may the messages of a request of which the server refused a part.`,
  schema,
  examples: [
    {
      title: 'A webhook with a body of your own',
      yaml: 'type: http\nurl: https://chat.example.com/hooks/${HOOK}\nbody: \'{"text":"{{json:sensor}} is at {{json:temperature}}"}\'\n',
    },
    {
      title: 'Lines, compressed, with a token of OAuth2',
      yaml: 'type: http\nurl: https://ingest.example.com/v1/events\nbatch: ndjson\ncompression: gzip\nauth:\n  type: oauth2\n  token_url: https://login.example.com/token\n  client_id: millrace\n  client_secret: ${SECRET}\n',
    },
    {
      title: 'Each device by its path',
      yaml: 'type: http\nurl: https://api.example.com/devices/{{meta:param.device}}/readings\nmethod: PUT\nheaders:\n  X-Source: "{{source}}"\n',
    },
  ],
  create: (config, context) => new HttpOutput(config, context),
});

class HttpOutput implements Output {
  readonly identified: boolean;
  readonly order: WriteOrder;
  readonly #config: HttpOutputConfig;
  readonly #requests: Requests;
  readonly #client: HttpClient;
  readonly #answers;
  readonly #closing = new AbortController();

  constructor(config: HttpOutputConfig, context: Context) {
    this.#config = config;
    this.identified = config.idempotency_key;
    this.order = config.max_in_flight === 1 ? 'stream' : 'none';
    this.#requests = new Requests(config, context);
    this.#client = new HttpClient({
      tls: config.tls,
      auth: config.auth,
      proxies: new Proxies(config.proxy, context.env),
      timeout: config.timeout,
      maxSockets: config.max_in_flight,
    });
    this.#answers = context.metrics.counter({
      name: 'answers_total',
      help: 'Answers of the server.',
      labels: ['status'],
    });
  }

  /** Connects once and hangs up: requests make connections of their own. */
  async connect(signal: AbortSignal): Promise<void> {
    const server = /^\s*https?:\/\/[^/\\?#]+/i.exec(this.#config.url)![0];
    await this.#client.reach(this.#requests.url ?? server, AbortSignal.any([signal, this.#closing.signal]));
  }

  async write(batch: Batch, call: WriteCall): Promise<WriteResult> {
    const refused = new Refusals();
    const signal = AbortSignal.any([call.signal, this.#closing.signal]);
    const places = Array.from({ length: batch.length }, (_, index) => index);
    const waiting = this.#requests.of(batch, places, call, refused);
    const left: number[] = [];
    let failure: unknown;
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        if (failure !== undefined) {
          left.push(...next.places);
          continue;
        }
        try {
          await this.#send(next, batch, call, refused, waiting, signal);
        } catch (error) {
          failure ??= error;
          left.push(...next.places);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#config.max_in_flight, waiting.length) }, work));
    call.signal.throwIfAborted();
    return left.length === 0
      ? { refused: refused.list }
      : { refused: refused.list, retry: left.toSorted((a, b) => a - b), reason: failure };
  }

  close(): Promise<void> {
    this.#closing.abort(new NotConnectedError('closed'));
    this.#client.close();
    return Promise.resolve();
  }

  /** The halves of a request that the server refuses come first in `waiting`. @throws an error about no message */
  async #send(
    { request, places }: MessagesRequest,
    batch: Batch,
    call: WriteCall,
    refused: Refusals,
    waiting: MessagesRequest[],
    signal: AbortSignal,
  ): Promise<void> {
    const answer = await this.#client.send(request, signal);
    const { status } = answer;
    this.#answers.add(1, { status: String(status) });
    if (status >= 200 && status <= 299) return;
    if (status < 400 || status > 499 || NOT_THE_MESSAGE.has(status)) throw failureOf(answer);
    if (places.length === 1) {
      const error = new MillraceError(httpErrors.MILLRACE_HTTP_REFUSED, answer.shown);
      refused.add({ index: places[0]!, error });
      return;
    }
    const half = places.length >> 1;
    waiting.unshift(
      ...this.#requests.of(batch, places.slice(0, half), call, refused),
      ...this.#requests.of(batch, places.slice(half), call, refused),
    );
  }
}

function failureOf({ status, shown, retryAfter }: HttpAnswer): MillraceError {
  const wait = status === 429 || status === 503 ? readRetryAfter(retryAfter) : 0;
  return wait > 0
    ? new NotConnectedError(shown, undefined, wait)
    : new MillraceError(httpErrors.MILLRACE_HTTP_FAILED, shown);
}
