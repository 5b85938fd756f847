import type { IncomingMessage } from 'node:http';
import type { Socket, connect } from 'node:net';
import { WebSocket } from 'ws';
import type { ClientTls } from '../../component/fields.ts';
import { MillraceError, errorMessage } from '../../errors.ts';
import { compressAsConfigured, socketOptions, type CompressionConfig } from '../compression.ts';
import { answerPings } from '../control-frames.ts';
import { loadTls } from '../../net/tls.ts';
import { attemptError, type Deadline } from '../../net/deadline.ts';
import { throughProxy } from '../../net/http-post.ts';
import { readExplanation } from '../../net/explanation.ts';
import type { Refusal } from './policy.ts';
import { openTunnel, overTunnel } from '../../net/proxy/tunnel.ts';

export interface DialOptions {
  readonly url: URL;
  /** The path and query to send. */
  readonly target: string;
  /** The URL in a form that may be shown. */
  readonly shown: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly protocols: readonly string[];
  /** How long the server has to answer a close frame, in milliseconds. */
  readonly closeTimeout: number;
  /** In bytes. */
  readonly maxMessageSize: number;
  readonly compression: CompressionConfig;
  /** The most frames in one message. */
  readonly fragments: number;
  readonly tls: ClientTls | undefined;
  readonly proxy: URL | undefined;
}

/** Thrown when the server answers the handshake with a status other than 101. */
export class RefusedError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    const { status, reason, explanation } = refusal;
    const why = explanation === undefined || explanation === reason ? '' : `: ${explanation}`;
    super(`the server answered ${`${status} ${reason}`.trim()}${why}`);
    this.refusal = refusal;
  }
}

/**
 * Opens a WebSocket as a client. Calls `opened` in the very turn in which the handshake ends, because its packet may
 * hold data: listeners must be in place before anything else runs.
 * @throws RefusedError; NotConnectedError with the network's reason; the reason of the deadline's caller
 */
export async function dialWebSocket(
  options: DialOptions,
  deadline: Deadline,
  opened: (socket: WebSocket, connection: Socket) => void,
): Promise<void> {
  const { url, shown, proxy } = options;
  const { signal } = deadline;
  const secure = url.protocol === 'wss:';
  const tls = options.tls === undefined || !secure ? undefined : options.tls;
  try {
    const files = tls === undefined ? {} : await loadTls(tls);
    const tunnel = proxy && (await openTunnel(proxy, url, deadline).catch(throughProxy(proxy, deadline)));
    signal.throwIfAborted();
    const socket = new WebSocket(url, [...options.protocols], {
      headers: { ...options.headers },
      // `ws` would send the URL as the parser rewrote it.
      finishRequest: (request) => {
        request.path = options.target;
        request.end();
      },
      ...socketOptions(options.closeTimeout, options.compression, options.maxMessageSize),
      maxFragments: options.fragments,
      ...deadline.addressTimeout,
      ...files,
      ...(tls?.server_name !== undefined && { servername: tls.server_name }),
      ...(tls?.insecure_skip_verify === true && { rejectUnauthorized: false }),
      ...(tunnel !== undefined && { createConnection: overTunnel(tunnel, secure) as typeof connect }),
    });
    await handshake(socket, signal, (...connected) => {
      compressAsConfigured(socket, options.compression, true);
      opened(...connected);
    });
  } catch (error) {
    if (error instanceof RefusedError || (error instanceof MillraceError && !signal.aborted)) throw error;
    throw attemptError(`cannot connect to ${shown}`, new Error(reasonOf(error), { cause: error }), signal);
  }
}

/** Waits for the end of the handshake. If it fails, the socket is gone. */
function handshake(
  socket: WebSocket,
  signal: AbortSignal,
  opened: (socket: WebSocket, connection: Socket) => void,
): Promise<void> {
  let connection: Socket | undefined;
  socket.once('upgrade', (response) => {
    connection = response.socket;
  });
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      signal.removeEventListener('abort', aborted);
      socket.off('open', succeeded).off('error', giveUp).off('unexpected-response', refused);
      act();
    };
    const giveUp = (error: Error): void =>
      settle(() => {
        socket.on('error', () => {});
        socket.terminate();
        reject(error);
      });
    const aborted = (): void => giveUp(signal.reason as Error);
    const succeeded = (): void =>
      settle(() => {
        answerPings(socket);
        opened(socket, connection!);
        resolve();
      });
    const refused = (_: unknown, response: IncomingMessage): void => {
      const { statusCode: status = 0, statusMessage: reason = '', headers } = response;
      const { location, 'retry-after': retryAfter } = headers;
      readExplanation(response, (explanation) =>
        giveUp(new RefusedError({ status, reason, explanation, location, retryAfter })),
      );
    };
    socket.on('open', succeeded).on('error', giveUp).on('unexpected-response', refused);
    signal.addEventListener('abort', aborted, { once: true });
  });
}

const UNTRUSTED = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

function reasonOf(thrown: unknown): string {
  const error = thrown as Error & { code?: string };
  // Node gives one error per address of a host, in an error without a message.
  if (error instanceof AggregateError) return error.errors.map((each) => errorMessage(each)).join('; ');
  const { code = '' } = error;
  if (UNTRUSTED.has(code)) {
    return `the authority of the server’s certificate is not trusted (${code}); name the authority’s certificate in \`tls.ca_file\``;
  }
  if (error.message.includes('wrong version number')) {
    return 'the server does not speak TLS on this port; use ws://';
  }
  if (/ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE/.test(code)) {
    return `the server refused the TLS handshake (${code}); it may want a client certificate: set \`tls.cert_file\` and \`tls.key_file\``;
  }
  if (error.message === 'socket hang up') {
    return 'the server ended the connection instead of answering (does it want wss://?)';
  }
  return errorMessage(error);
}
