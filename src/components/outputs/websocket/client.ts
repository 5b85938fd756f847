import type { Backoff } from '../../../component/backoff.ts';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { backoffOf } from '../../../component/fields.ts';
import { maskUrl } from '../../../component/mask.ts';
import { forEachMessage } from '../../../websocket/framed.ts';
import { framesOf, type Framer } from '../../../component/framing/framer.ts';
import { openFramer, openUnframer } from '../../../component/framing/open-framing.ts';
import type { Unframer } from '../../../component/framing/unframer.ts';
import { NotConnectedError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { Connector } from '../../../websocket/client/connector.ts';
import { Heartbeats, type Heartbeat } from '../../../websocket/client/heartbeat.ts';
import { endingError } from '../../../websocket/client/policy.ts';
import { limitControlFrames } from '../../../websocket/control-frames.ts';
import { Keepalive } from '../../../websocket/keepalive.ts';
import { Session } from '../../../websocket/session.ts';
import { CLOSE_TIMEOUT } from '../../../websocket/timeouts.ts';
import type { ClientOutputConfig } from './config.ts';
import { isBinary } from './frames.ts';

/** Sends every message to one server. */
export class WebSocketClientOutput implements Output {
  readonly backoff: Backoff;
  readonly #config: ClientOutputConfig;
  /** The URL, safe to show. */
  readonly #url: string;
  readonly #context: Context;
  readonly #connector: Connector;
  readonly #keepalive: Keepalive;
  readonly #heartbeats: Heartbeats | undefined;
  readonly #framer: Framer | undefined;
  readonly #unframer: Unframer | undefined;
  #session: Session | undefined;
  /** Why the connection is gone, or undefined while it is open. */
  #lost: Error | undefined = new NotConnectedError('not connected');

  constructor(config: ClientOutputConfig, context: Context) {
    const { url } = config;
    this.#config = config;
    this.#url = maskUrl(url);
    this.#context = context;
    this.backoff = backoffOf(config.reconnect);
    this.#connector = new Connector({
      url,
      config,
      env: context.env,
      closeTimeout: CLOSE_TIMEOUT,
    });
    this.#heartbeats = config.heartbeat && new Heartbeats(config.heartbeat, context.events);
    this.#framer = openFramer(config, context);
    this.#unframer = openUnframer(config, context);
    this.#keepalive = new Keepalive({
      interval: config.ping_interval,
      timeout: config.ping_timeout,
    });
  }

  async connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void> {
    let heartbeat: Heartbeat | undefined;
    await this.#connector.open(signal, (socket, connection, url, values) => {
      const session = new Session(socket, connection, url, {});
      limitControlFrames(session);
      session.listen({
        // Messages from the server are dropped, unless something here waits for them.
        message: (_, payload, binary) => this.#received(session, payload, binary),
        closed: (_, ending) => {
          this.#keepalive.remove(session);
          this.#context.events.connectionClosed({ ...ending, url });
          // `connect` has thrown the error of an attempt that failed.
          if (session !== this.#session || !session.established) return;
          this.#lost = endingError(url, ending, session.ours !== undefined, this.#config.reconnect);
          lost(this.#lost);
        },
      });
      this.#keepalive.add(session);
      this.#session = session;
      this.#lost = undefined;
      this.#context.events.connectionOpened({ url });
      heartbeat = this.#heartbeats?.attach(session, values);
      return session;
    });
    if (this.#lost !== undefined) throw this.#lost;
    heartbeat?.start();
  }

  async write(messages: Batch, { signal }: WriteCall): Promise<WriteResult> {
    if (this.#lost !== undefined) throw this.#lost;
    const { batch, refusals } = framesOf(this.#framer, messages);
    if (batch.length > 0) await this.#send(batch, signal);
    return { refused: refusals };
  }

  async #send(batch: Batch, signal: AbortSignal): Promise<void> {
    const { socket, connection } = this.#session!;
    const { payloads, runs } = batch;
    const last = payloads.length - 1;
    await new Promise<void>((resolve, reject) => {
      const aborted = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', aborted, { once: true });
      const written = (error?: Error | null): void => {
        signal.removeEventListener('abort', aborted);
        if (error === undefined || error === null) resolve();
        else {
          const message = `cannot send to ${this.#url}: ${error.message}`;
          reject(this.#lost ?? new NotConnectedError(message, error));
        }
      };
      // The frames of a batch go to the system together; one by one they would fill its buffers with small packets.
      connection.cork();
      let run = 0;
      for (const [index, payload] of payloads.entries()) {
        while (runs[run + 1] !== undefined && runs[run + 1]!.start <= index) run++;
        const binary = isBinary(batch, runs[run], payload);
        // The socket writes in order: when the last frame is written, all are.
        socket.send(payload, { binary }, index === last ? written : undefined);
      }
      connection.uncork();
    });
  }

  #received(session: Session, payload: Buffer, binary: boolean): void {
    if (this.#unframer === undefined) session.intercepted(payload, binary);
    else {
      forEachMessage(
        this.#unframer,
        payload,
        binary,
        (message, hidden) => void session.intercepted(message, hidden),
      );
    }
  }

  /** The server has some time to answer, unless the stream must end at once. */
  async close(signal: AbortSignal): Promise<void> {
    const socket = this.#session?.socket;
    if (socket === undefined || socket.readyState === socket.CLOSED) return;
    const cut = (): void => socket.terminate();
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
    });
    socket.close(1000, 'done');
    signal.addEventListener('abort', cut, { once: true });
    if (signal.aborted) cut();
    await closed;
    signal.removeEventListener('abort', cut);
  }
}
