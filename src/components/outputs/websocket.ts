import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import { defaultBackoff, type Backoff } from '../../component/backoff.ts';
import type { Output, OutputContext } from '../../component/contracts.ts';
import { defineOutput } from '../../component/define.ts';
import {
  duration,
  headers,
  reconnect,
  secret,
  size,
  subprotocols,
  tls,
  websocketUrl,
} from '../../component/fields.ts';
import { Keepalive, type KeptAlive } from '../../component/keepalive.ts';
import { maskUrl } from '../../component/mask.ts';
import {
  CLOSE_TIMEOUT,
  deadPeer,
  describeEnding,
  dialWebSocket,
  violation,
  type Ending,
} from '../../component/websocket.ts';
import { NotConnectedError } from '../../errors.ts';
import type { Batch, Run } from '../../message/batch.ts';

const schema = z
  .strictObject({
    url: secret(websocketUrl).describe('The server’s URL, `ws://` or `wss://`.'),
    headers: secret(headers).default({}).describe('Headers to send with the handshake, at every attempt.'),
    timeout: duration('s', { min: 1 })
      .default(10_000)
      .describe('How long the handshake may take. A bare number is seconds.'),
    protocols: subprotocols.default([]).describe('Subprotocols to offer, the preferred first.'),
    max_message_size: size({ min: 1, max: 2 ** 30 })
      .default(1024 * 1024)
      .describe('The largest message to accept from the server; what it sends is not used.'),
    tls: tls
      .optional()
      .describe(
        'TLS of a `wss://` connection; without it the authorities that come with Node.js are trusted.',
      ),
    ping_interval: duration('s')
      .default(30_000)
      .describe('A connection that has been quiet this long gets a ping. 0 turns pings off.'),
    ping_timeout: duration('s', { min: 1 })
      .default(10_000)
      .describe('A connection that stays quiet this long after a ping is dead: it is cut and opened again.'),
    reconnect: reconnect.prefault({}),
  })
  .superRefine((value, context) => {
    if (value.tls !== undefined && !value.url.toLowerCase().startsWith('wss:')) {
      const message = 'has no effect with a ws:// URL; use wss:// or remove it';
      context.addIssue({ code: 'custom', path: ['tls'], message });
    }
  });

type Config = z.output<typeof schema>;

/** Sends messages to a WebSocket server. */
export const websocketOutput = defineOutput({
  type: 'websocket',
  summary: 'Sends each message to a WebSocket server.',
  status: 'beta',
  description:
    'JSON and text go out as text frames, other payloads in the kind of frame that they came in; where that is not known, as text if they are valid UTF-8 and as binary otherwise. A message is confirmed when it has been written to the socket: WebSocket has no acknowledgement, so what the network or the server loses after that is lost. When the connection breaks in the middle of a batch, the whole batch is sent again.',
  schema,
  examples: [
    {
      title: 'Forward',
      yaml: 'type: websocket\nurl: wss://hub.example.com/in\nheaders:\n  Authorization: "Bearer ${TOKEN}"\n',
    },
  ],
  create: (config, context) => new WebSocketOutput(config, context),
});

class WebSocketOutput implements Output {
  readonly backoff: Backoff;
  readonly #config: Config;
  readonly #context: OutputContext;
  readonly #keepalive: Keepalive<Connection>;
  #connection: Connection | undefined;

  constructor(config: Config, context: OutputContext) {
    this.#config = config;
    this.#context = context;
    this.backoff = {
      ...defaultBackoff,
      ...config.reconnect,
      attempts: config.reconnect.attempts ?? Infinity,
    };
    this.#keepalive = new Keepalive({
      interval: config.ping_interval,
      timeout: config.ping_timeout,
      dead: (connection) => {
        connection.ours = deadPeer;
        connection.socket.terminate();
      },
    });
  }

  async connect(signal: AbortSignal): Promise<void> {
    const {
      url,
      headers: sent,
      protocols,
      timeout,
      max_message_size: maxMessageSize,
      tls: files,
    } = this.#config;
    const options = {
      url,
      headers: sent,
      protocols,
      timeout,
      closeTimeout: CLOSE_TIMEOUT,
      maxMessageSize,
      tls: files,
    };
    await dialWebSocket(options, signal, (socket, tcp) => {
      const connection: Connection = { socket, connection: tcp, ours: undefined, lost: undefined };
      socket.on('error', (error) => {
        connection.ours = violation(error);
      });
      socket.on('close', (code, reason) => {
        const ending = connection.ours ?? { code, reason: reason.toString() };
        connection.lost = describeEnding(url, ending, connection.ours !== undefined);
        this.#keepalive.remove(connection);
        this.#context.events.connectionClosed({ ...ending, url: maskUrl(url) });
        this.#context.lost(new NotConnectedError(connection.lost));
      });
      this.#keepalive.add(connection);
      this.#connection = connection;
      this.#context.events.connectionOpened({ url: maskUrl(url) });
    });
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const connection = this.#connection;
    if (connection?.lost !== undefined || connection === undefined) {
      throw new NotConnectedError(connection?.lost ?? 'not connected');
    }
    const { socket } = connection;
    const { payloads, runs, format } = batch;
    const last = payloads.length - 1;
    await new Promise<void>((resolve, reject) => {
      const aborted = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', aborted, { once: true });
      const written = (error?: Error | null): void => {
        signal.removeEventListener('abort', aborted);
        if (error === undefined || error === null) resolve();
        else
          reject(
            new NotConnectedError(
              connection.lost ?? `cannot send to ${maskUrl(this.#config.url)}: ${error.message}`,
              error,
            ),
          );
      };
      // The frames of a batch go to the system together; one by one they fill its buffers with little packets.
      connection.connection.cork();
      let run = 0;
      for (const [index, payload] of payloads.entries()) {
        while (runs[run + 1] !== undefined && runs[run + 1]!.start <= index) run++;
        const binary = format === 'bytes' && isBinary(runs[run], payload);
        // The socket writes in order: when the last frame is written, all are.
        socket.send(payload, { binary }, index === last ? written : undefined);
      }
      connection.connection.uncork();
    });
  }

  async close(): Promise<void> {
    const socket = this.#connection?.socket;
    if (socket === undefined || socket.readyState === socket.CLOSED) return;
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
    });
    socket.close(1000, 'done');
    await closed;
  }
}

interface Connection extends KeptAlive {
  readonly socket: WebSocket;
  readonly connection: Socket;
  /** How we ended it, if it was us. */
  ours: Ending | undefined;
  /** Why it is gone, or undefined while it is open. */
  lost: string | undefined;
}

function isBinary(run: Run | undefined, payload: Uint8Array): boolean {
  return run?.messageType === undefined ? !isUtf8(payload) : run.messageType === 'binary';
}
