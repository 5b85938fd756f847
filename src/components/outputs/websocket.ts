import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import type { Backoff } from '../../component/backoff.ts';
import type { Output, OutputContext } from '../../component/contracts.ts';
import { defineOutput } from '../../component/define.ts';
import { backoffOf, secret } from '../../component/fields.ts';
import { maskUrl } from '../../component/mask.ts';
import { NotConnectedError } from '../../errors.ts';
import type { Batch, Run } from '../../message/batch.ts';
import { auth, checkAuth } from '../../websocket/auth-fields.ts';
import { Connector } from '../../websocket/client/connector.ts';
import { CLOSE_TIMEOUT } from '../../websocket/client/dial.ts';
import { clientFields, subprotocols, websocketUrl } from '../../websocket/client/fields.ts';
import { commonFields } from '../../websocket/common-fields.ts';
import { deadPeer, describeEnding, violation } from '../../websocket/ending.ts';
import { Keepalive } from '../../websocket/keepalive.ts';
import { Session } from '../../websocket/session.ts';

const schema = z
  .strictObject({
    url: secret(websocketUrl).describe('The server’s URL, `ws://` or `wss://`.'),
    protocols: subprotocols.default([]).describe('Subprotocols to offer, the preferred first.'),
    auth: auth.optional().describe('How to prove who we are to the server.'),
    ...clientFields,
    ...commonFields,
  })
  .superRefine((value, context) => {
    if (value.auth !== undefined) {
      checkAuth(value.auth, 'client', (path, message) =>
        context.addIssue({ code: 'custom', path: ['auth', ...path], message }),
      );
    }
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
  readonly #url: string;
  readonly #context: OutputContext;
  readonly #connector: Connector;
  readonly #keepalive: Keepalive<Session>;
  #session: Session | undefined;
  /** Why the connection is gone, or undefined while it is open. */
  #lost: string | undefined = 'not connected';

  constructor(config: Config, context: OutputContext) {
    const { url } = config;
    this.#url = url;
    this.#context = context;
    this.backoff = backoffOf(config.reconnect);
    this.#connector = new Connector({ url, config, env: context.env, closeTimeout: CLOSE_TIMEOUT });
    this.#keepalive = new Keepalive({
      interval: config.ping_interval,
      timeout: config.ping_timeout,
      dead: (session) => session.cut(deadPeer),
    });
  }

  async connect(signal: AbortSignal): Promise<void> {
    await this.#connector.open(signal, (socket, tcp, url) => {
      const session = new Session(socket, tcp, maskUrl(url), {});
      socket.on('message', (data, isBinary) => void session.intercepted(data as Buffer, isBinary));
      socket.on('error', (error) => {
        session.ours ??= violation(error);
      });
      socket.on('close', (code, reason) => {
        const ending = session.ours ?? { code, reason: reason.toString() };
        this.#keepalive.remove(session);
        this.#context.events.connectionClosed({ ...ending, url: maskUrl(url) });
        if (session !== this.#session) return;
        this.#lost = describeEnding(url, ending, session.ours !== undefined);
        this.#context.lost(new NotConnectedError(this.#lost));
      });
      this.#keepalive.add(session);
      this.#session = session;
      this.#lost = undefined;
      this.#context.events.connectionOpened({ url: maskUrl(url) });
      return session;
    });
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const session = this.#session;
    if (session === undefined || this.#lost !== undefined)
      throw new NotConnectedError(this.#lost ?? 'not connected');
    const { socket, connection } = session;
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
              this.#lost ?? `cannot send to ${maskUrl(this.#url)}: ${error.message}`,
              error,
            ),
          );
      };
      // The frames of a batch go to the system together; one by one they fill its buffers with little packets.
      connection.cork();
      let run = 0;
      for (const [index, payload] of payloads.entries()) {
        while (runs[run + 1] !== undefined && runs[run + 1]!.start <= index) run++;
        const binary = format === 'bytes' && isBinary(runs[run], payload);
        // The socket writes in order: when the last frame is written, all are.
        socket.send(payload, { binary }, index === last ? written : undefined);
      }
      connection.uncork();
    });
  }

  async close(): Promise<void> {
    const socket = this.#session?.socket;
    if (socket === undefined || socket.readyState === socket.CLOSED) return;
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
    });
    socket.close(1000, 'done');
    await closed;
  }
}

function isBinary(run: Run | undefined, payload: Uint8Array): boolean {
  return run?.messageType === undefined ? !isUtf8(payload) : run.messageType === 'binary';
}
