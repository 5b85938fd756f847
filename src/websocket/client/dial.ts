import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { TlsFiles } from '../../component/fields.ts';
import { maskUrl } from '../../component/mask.ts';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import { socketOptions, type CompressionConfig } from '../compression.ts';
import { loadTls } from '../tls.ts';

/** How long a peer has to answer a close frame, in milliseconds. */
export const CLOSE_TIMEOUT = 10_000;

export interface DialOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly protocols: readonly string[];
  /** Of the whole attempt, from the name's resolution to the end of the handshake, in milliseconds. */
  readonly timeout: number;
  /** How long the server has to answer a close frame, in milliseconds. */
  readonly closeTimeout: number;
  /** In bytes. */
  readonly maxMessageSize: number;
  readonly compression: CompressionConfig;
  readonly tls: TlsFiles | undefined;
}

/**
 * Opens a WebSocket as a client. `opened` is called in the very turn in which the handshake ends, because data may have
 * come in its packet: listeners must be there before anything else runs.
 * @throws NotConnectedError with the HTTP status or the network's reason; the signal's reason when it aborts
 */
export async function dialWebSocket(
  options: DialOptions,
  signal: AbortSignal,
  opened: (socket: WebSocket, connection: Socket) => void,
): Promise<WebSocket> {
  const tls = options.tls === undefined ? {} : await loadTls(options.tls);
  signal.throwIfAborted();
  const socket = new WebSocket(options.url, [...options.protocols], {
    headers: { ...options.headers },
    maxPayload: options.maxMessageSize,
    ...socketOptions(options.closeTimeout, options.compression),
    ...tls,
    ...(options.tls?.server_name !== undefined && { servername: options.tls.server_name }),
    ...(options.tls?.insecure_skip_verify === true && { rejectUnauthorized: false }),
  });
  let connection: Socket | undefined;
  socket.once('upgrade', (response) => {
    connection = response.socket;
  });
  const where = maskUrl(options.url);
  return await new Promise<WebSocket>((resolve, reject) => {
    const settle = (act: () => void): void => {
      clearTimeout(deadline);
      signal.removeEventListener('abort', aborted);
      socket.off('open', succeeded).off('error', failed).off('unexpected-response', refused);
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
        opened(socket, connection!);
        resolve(socket);
      });
    const failed = (error: Error): void =>
      giveUp(new NotConnectedError(`cannot connect to ${where}: ${reasonOf(error)}`, error));
    const refused = (_: unknown, response: { statusCode?: number; statusMessage?: string }): void => {
      const status = `${response.statusCode} ${response.statusMessage}`.trim();
      giveUp(new NotConnectedError(`cannot connect to ${where}: the server answered ${status}`));
    };
    // Not the option of `ws`, which counts from the last byte that came.
    const deadline = setTimeout(() => {
      giveUp(
        new NotConnectedError(`cannot connect to ${where}: no answer within ${options.timeout / 1000} s`),
      );
    }, options.timeout);
    socket.on('open', succeeded).on('error', failed).on('unexpected-response', refused);
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

function reasonOf(error: Error & { code?: string }): string {
  // Node gives one error per address of a host, with an empty message of its own.
  if (error instanceof AggregateError) return error.errors.map((each) => errorMessage(each)).join('; ');
  const { code = '' } = error;
  if (UNTRUSTED.has(code)) {
    return `the authority of the server’s certificate is not trusted (${code}); name the authority’s certificate in \`tls.ca_file\``;
  }
  if (error.message.includes('wrong version number')) {
    return 'the server does not speak TLS on this port; use ws://';
  }
  if (error.message === 'socket hang up') {
    return 'the server ended the connection instead of answering (does it want wss://?)';
  }
  return errorMessage(error);
}
