import { Outage } from '../component/outage.ts';
import { defaultBackoff, type Backoff } from '../component/backoff.ts';
import { NotConnectedError } from '../errors.ts';
import type { Stage, StreamEvents } from '../telemetry/events.ts';
import { Retry, pause } from './retry.ts';
import type { StartGate } from './start-gate.ts';

/** What the connections of a stream share. */
export interface ConnectionSurroundings {
  readonly events: StreamEvents;
  readonly gate: StartGate;
  /** Called when one has failed for good while nobody was waiting for it. */
  readonly failed: (error: unknown) => void;
}

/** The component that is connected. */
export interface Connectable {
  readonly stage: Stage;
  readonly type: string;
  readonly backoff?: Backoff | undefined;
  /** Undefined for a component that needs no connection before it is used. */
  readonly connect?: ((signal: AbortSignal, lost: (error: Error) => void) => Promise<void>) | undefined;
}

/** The connection of a component to what it talks to: made as often as it takes, and again whenever it is gone. */
export class KeptConnection {
  readonly #of: Connectable;
  readonly #surroundings: ConnectionSurroundings;
  readonly #retry: Retry;
  #connected: boolean;
  /** From the first attempt that failed until one of the kind has succeeded. */
  readonly outage = new Outage();
  /** Something has failed and is to be done again. */
  #repeating = false;
  #connecting: Promise<void> | undefined;
  /** Counts connections, so that the end of an old one is not taken for the end of a new one. */
  #connection = 0;
  #signal: AbortSignal | undefined;
  readonly #attempted = Promise.withResolvers<void>();

  constructor(of: Connectable, surroundings: ConnectionSurroundings) {
    this.#of = of;
    this.#surroundings = surroundings;
    this.#retry = new Retry(of.backoff ?? defaultBackoff);
    this.#connected = of.connect === undefined;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Connects, as often as it takes. @throws a fatal error, or the signal's reason */
  connect(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    return this.#reconnect(signal, 0).finally(() => this.#attempted.resolve());
  }

  /** Resolves when `connect` has been called and has succeeded, or has failed once. */
  get attempted(): Promise<void> {
    return this.#attempted.promise;
  }

  /**
   * Does something that needs the connection, again after each failure, unless `isFinal` says that it is to be thrown.
   * @throws a fatal error, a final one, or the signal's reason
   */
  async use<T>(
    action: 'write' | 'process',
    act: () => Promise<T> | T,
    signal: AbortSignal,
    isFinal?: (error: unknown) => boolean,
  ): Promise<T> {
    for (;;) {
      if (!this.#connected) await this.connect(signal);
      const connection = this.#connection;
      try {
        const result = await act();
        this.#succeeded(connection);
        return result;
      } catch (error) {
        if (isFinal?.(error) === true) throw error;
        this.#repeating = true;
        await this.#recover(error, action, connection, signal);
      }
    }
  }

  close(): void {
    this.#connected = false;
    this.#signal = undefined;
  }

  #succeeded(connection: number): void {
    this.#retry.succeeded();
    if (!this.#repeating) return;
    this.#repeating = false;
    if (this.#connected && connection === this.#connection) this.outage.over();
  }

  /** The component says that its connection is gone: it is made again at once, not only when it is needed. */
  #lost(error: unknown, connection: number): void {
    const signal = this.#signal;
    if (!this.#connected || connection !== this.#connection || signal === undefined || signal.aborted) return;
    const { failed } = this.#surroundings;
    try {
      this.#again(error, signal).catch((cause: unknown) => {
        if (!signal.aborted) failed(cause);
      });
    } catch (fatal) {
      failed(fatal);
    }
  }

  /** Connects again after a pause. @throws a fatal error */
  #again(error: unknown, signal: AbortSignal): Promise<void> {
    this.#connected = false;
    this.outage.failed(error);
    const delay = this.#retry.failed(error);
    this.#surroundings.events.connectionLost(this.#of.stage, error, delay);
    return this.#reconnect(signal, delay);
  }

  #reconnect(signal: AbortSignal, delay: number): Promise<void> {
    this.#connecting ??= this.#connect(signal, delay).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(signal: AbortSignal, delay: number): Promise<void> {
    const { stage, type, connect } = this.#of;
    const { gate, events } = this.#surroundings;
    if (delay > 0) await pause(delay, signal);
    await gate.wait(signal);
    while (!this.#connected) {
      signal.throwIfAborted();
      try {
        const connection = this.#connection + 1;
        await connect?.(signal, (error) => this.#lost(error, connection));
        this.#connected = true;
        // One that connects and then can do nothing is not well before it has done something.
        if (!this.#repeating) this.outage.over();
        this.#connection++;
        this.#retry.connected();
        if (connect !== undefined) events.connected(stage, type);
      } catch (error) {
        this.#attempted.resolve();
        await this.#pause(error, 'connect', signal);
      }
    }
  }

  /** After a failure. `connection` is the one that failed; by now there may be another. */
  async #recover(
    error: unknown,
    action: 'write' | 'process',
    connection: number,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    if (!(error instanceof NotConnectedError)) return await this.#pause(error, action, signal);
    // Whoever noticed it first has counted this failure and is connecting already.
    if (this.#connected && connection === this.#connection) await this.#again(error, signal);
  }

  async #pause(error: unknown, action: 'connect' | 'write' | 'process', signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.outage.failed(error);
    const delay = this.#retry.failed(error);
    this.#surroundings.events.attemptFailed(this.#of.stage, action, error, delay);
    await pause(delay, signal);
  }
}
