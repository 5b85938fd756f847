import { readFile } from 'node:fs/promises';
import { WebSocket } from 'ws';
import { MillraceError, NotConnectedError, errorMessage } from '../errors.ts';
import type { TlsFiles } from './fields.ts';
import { maskUrl } from './mask.ts';

/** Of every `ws` socket and server here. `closeTimeout` is how long a peer has to answer a close frame (ms). */
export const socketOptions = { perMessageDeflate: false, closeTimeout: 10_000 };

export interface DialOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly protocols: readonly string[];
  /** Of the whole handshake, in milliseconds. */
  readonly timeout: number;
  /** In bytes. */
  readonly maxMessageSize: number;
  readonly tls: TlsFiles | undefined;
}

/** The contents of the files, as Node's TLS takes them. @throws MillraceError MILLRACE_TLS_INVALID */
export async function loadTls(files: TlsFiles) {
  const load = async (path: string | undefined): Promise<Buffer | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await readFile(path);
    } catch (error) {
      throw new MillraceError('MILLRACE_TLS_INVALID', `cannot read ${path}: ${errorMessage(error)}`, { cause: error });
    }
  };
  const [ca, cert, key] = await Promise.all([load(files.ca_file), load(files.cert_file), load(files.key_file)]);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/**
 * Opens a WebSocket as a client. `opened` is called in the very turn in which the handshake ends, because data may have
 * come in its packet: listeners must be there before anything else runs.
 * @throws NotConnectedError with the HTTP status or the network's reason; the signal's reason when it aborts
 */
export async function dialWebSocket(
  options: DialOptions,
  signal: AbortSignal,
  opened: (socket: WebSocket, remoteAddress: string) => void,
): Promise<WebSocket> {
  const tls = options.tls === undefined ? {} : await loadTls(options.tls);
  signal.throwIfAborted();
  const socket = new WebSocket(options.url, [...options.protocols], {
    headers: { ...options.headers },
    handshakeTimeout: options.timeout,
    maxPayload: options.maxMessageSize,
    ...socketOptions,
    ...tls,
    ...(options.tls?.server_name !== undefined && { servername: options.tls.server_name }),
    ...(options.tls?.insecure_skip_verify === true && { rejectUnauthorized: false }),
  });
  let remoteAddress = '';
  socket.once('upgrade', (response) => {
    remoteAddress = response.socket.remoteAddress ?? '';
  });
  const where = maskUrl(options.url);
  return await new Promise<WebSocket>((resolve, reject) => {
    const settle = (act: () => void): void => {
      signal.removeEventListener('abort', aborted);
      socket.off('open', succeeded).off('error', failed).off('unexpected-response', refused);
      act();
    };
    const aborted = (): void =>
      settle(() => {
        socket.on('error', () => {});
        socket.terminate();
        reject(signal.reason as Error);
      });
    const succeeded = (): void =>
      settle(() => {
        opened(socket, remoteAddress);
        resolve(socket);
      });
    const failed = (error: Error): void =>
      settle(() => reject(new NotConnectedError(`cannot connect to ${where}: ${reasonOf(error)}`, error)));
    const refused = (request: { destroy(): void }, response: { statusCode?: number; statusMessage?: string }): void =>
      settle(() => {
        socket.on('error', () => {});
        request.destroy();
        const status = `${response.statusCode} ${response.statusMessage}`.trim();
        reject(new NotConnectedError(`cannot connect to ${where}: the server answered ${status}`));
      });
    socket.on('open', succeeded).on('error', failed).on('unexpected-response', refused);
    signal.addEventListener('abort', aborted, { once: true });
  });
}

/** Node gives one error per address of a host, with an empty message of its own. */
function reasonOf(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((each) => errorMessage(each)).join('; ');
  return errorMessage(error);
}

/** The close code that `ws` sends for a violation of the protocol (RFC 6455 section 7.4.1), or undefined. */
export function violationCode(error: Error & { code?: string }): number | undefined {
  if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' || error.code === 'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH') {
    return 1009;
  }
  if (error.code === 'WS_ERR_INVALID_UTF8') return 1007;
  return error.code?.startsWith('WS_ERR_') === true ? 1002 : undefined;
}
