import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { MillraceError, NotConnectedError, errorMessage } from '../errors.ts';
import type { TlsFiles } from './fields.ts';
import { maskUrl } from './mask.ts';

/** How long a peer has to answer a close frame, in milliseconds. */
export const CLOSE_TIMEOUT = 10_000;

/** Of every `ws` socket and server here; the types of `ws` don't know `closeTimeout` (in milliseconds) yet. */
export const socketOptions = (closeTimeout: number) => ({ perMessageDeflate: false, closeTimeout });

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
  readonly tls: TlsFiles | undefined;
}

/** The contents of the files, as Node's TLS takes them. @throws MillraceError MILLRACE_TLS_INVALID */
export async function loadTls(files: TlsFiles) {
  const load = async (path: string | undefined): Promise<Buffer | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await readFile(path);
    } catch (error) {
      throw new MillraceError('MILLRACE_TLS_INVALID', `cannot read ${path}: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  };
  const [ca, cert, key] = await Promise.all([
    load(files.ca_file),
    load(files.cert_file),
    load(files.key_file),
  ]);
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
  opened: (socket: WebSocket, connection: Socket) => void,
): Promise<WebSocket> {
  const tls = options.tls === undefined ? {} : await loadTls(options.tls);
  signal.throwIfAborted();
  const socket = new WebSocket(options.url, [...options.protocols], {
    headers: { ...options.headers },
    maxPayload: options.maxMessageSize,
    ...socketOptions(options.closeTimeout),
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

/** How a connection ended. */
export interface Ending {
  /** The close code (RFC 6455 section 7.4); 1006 when there was no close frame. */
  readonly code: number;
  readonly reason: string;
}

/** Of a connection that we cut, because its peer no longer answers. */
export const deadPeer: Ending = { code: 1006, reason: 'no answer to a ping' };

/** How we ended a connection whose peer broke the protocol, or undefined for another error. `ws` sends the code. */
export function violation(error: Error & { code?: string }): Ending | undefined {
  const { code = '', message: reason } = error;
  if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' || code === 'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH') {
    return { code: 1009, reason };
  }
  if (code === 'WS_ERR_INVALID_UTF8') return { code: 1007, reason };
  return code.startsWith('WS_ERR_') ? { code: 1002, reason } : undefined;
}

/** A client's sentence about its connection's end; `ours` when we ended it. */
export function describeEnding(url: string, { code, reason }: Ending, ours: boolean): string {
  const why = reason === '' ? '' : `: ${reason}`;
  if (code === 1006) return `the connection to ${maskUrl(url)} broke (1006)${why}`;
  return ours
    ? `closed the connection to ${maskUrl(url)} with ${code}${why}`
    : `${maskUrl(url)} closed the connection with ${code}${why}`;
}
