import { defaultBackoff } from '../component/backoff.ts';
import type { Environment } from '../component/context.ts';
import { maskUrl } from '../component/mask.ts';
import { NotConnectedError } from '../errors.ts';
import { Retry, pause } from '../runtime/retry.ts';
import { Connector } from '../websocket/client/connector.ts';
import { limitControlFrames } from '../websocket/control-frames.ts';
import { describeEnding, type Ending } from '../websocket/ending.ts';
import { Keepalive } from '../websocket/keepalive.ts';
import { Session, holds } from '../websocket/session.ts';
import { clientMessage, type ClientSettings } from './client-settings.ts';

/** Which failures to retry: none, those after the first connection, or all. */
export type Persistence = 'never' | 'once_connected' | 'always';

/** An open connection. */
export interface Link {
  readonly session: Session;
  /** Resolves when it has closed. */
  readonly ended: Promise<LinkEnd>;
}

export interface LinkEnd extends Ending {
  /** A sentence about the end. */
  readonly text: string;
}

export interface ConnectionOptions {
  readonly settings: ClientSettings;
  readonly env: Environment;
  readonly persistence: Persistence;
  /** It gives up after this many failures in a row; without it, never. */
  readonly attempts?: number | undefined;
  /** How long the server has to answer a close frame, in milliseconds. */
  readonly closeTimeout: number;
  readonly received: (payload: Buffer, binary: boolean, session: Session) => void;
  /** Called when a connection has closed. */
  readonly closed: () => void;
  /** Shows a line to the user. */
  readonly notice: (text: string) => void;
}

/** The connection of a command, which reconnects as often as allowed. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #connector: Connector;
  readonly #keepalive: Keepalive;
  readonly #retry: Retry;
  #connected = false;
  #session: Session | undefined;
  #held = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { settings, env, closeTimeout, attempts = Infinity } = options;
    this.#retry = new Retry({ ...defaultBackoff, attempts });
    this.#connector = new Connector({ ...settings, env, closeTimeout });
    this.#keepalive = new Keepalive({
      interval: settings.config.ping_interval,
      timeout: settings.config.ping_timeout,
    });
  }

  /** Whether there has been a connection. */
  get connected(): boolean {
    return this.#connected;
  }

  /** The open connection, or the last one. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Stops reading from the server, on any connection; with false, reads on. */
  hold(held: boolean): void {
    this.#held = held;
    if (held) this.#session?.hold(holds.budget);
    else this.#session?.release(holds.budget);
  }

  /**
   * Connects; `lost` is why the previous connection is gone.
   * @throws the error if it must not be retried; the signal's reason when it aborts
   */
  async open(signal: AbortSignal, lost?: LinkEnd): Promise<Link> {
    const { persistence, notice, settings } = this.#options;
    let failure: Error | undefined = lost === undefined ? undefined : new NotConnectedError(lost.text);
    for (;;) {
      if (failure !== undefined) {
        if (persistence === 'never' || (persistence === 'once_connected' && !this.#connected)) throw failure;
        const wait = this.#retry.failed(failure);
        notice(`${clientMessage(failure)}; retrying in ${(wait / 1000).toFixed(1)} s`);
        await pause(wait, signal);
      }
      try {
        const link = await this.#attempt(signal);
        this.#retry.connected();
        this.#connected = true;
        if (failure !== undefined) notice(`connected to ${maskUrl(settings.url)}`);
        return link;
      } catch (error) {
        signal.throwIfAborted();
        failure = error as Error;
      }
    }
  }

  async #attempt(signal: AbortSignal): Promise<Link> {
    const { promise: ended, resolve } = Promise.withResolvers<LinkEnd>();
    const session = await this.#connector.open(signal, (socket, tcp, url) => {
      const session = new Session(socket, tcp, maskUrl(url), {
        remote_address: tcp.remoteAddress ?? '',
        path: new URL(url).pathname,
        protocol: socket.protocol,
      });
      limitControlFrames(session);
      session.listen({
        message: (_, payload, binary) => {
          if (session.intercepted(payload, binary)) return;
          session.sequence++;
          this.#options.received(payload, binary, session);
        },
        closed: (_, ending) => {
          this.#keepalive.remove(session);
          resolve({ ...ending, text: describeEnding(url, ending, session.ours !== undefined) });
          this.#options.closed();
        },
      });
      this.#keepalive.add(session);
      this.#session = session;
      this.hold(this.#held);
      return session;
    });
    return { session, ended };
  }
}
