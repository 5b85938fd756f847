import { Outage } from '../component/outage.ts';
import { abortable } from '../component/waker.ts';
import { defaultBackoff, type Backoff } from '../component/backoff.ts';
import { MillraceError, NotConnectedError } from '../errors.ts';
import type { Stage, StreamEvents } from '../telemetry/events.ts';
import { Retry, pause } from './retry.ts';
import type { StartGate } from './start-gate.ts';

/** Shared by the connections of a stream. */
export interface ConnectionSurroundings {
  readonly events: StreamEvents;
  readonly gate: StartGate;
  /** Called when a connection has failed for good while nothing was waiting for it. */
  readonly failed: (error: unknown) => void;
}

/** The component that is connected. */
export interface Connectable {
  readonly stage: Stage;
  readonly type: string;
  readonly backoff?: Backoff | undefined;
  /** Undefined for a component that needs no connection before its use. */
  readonly connect?: ((signal: AbortSignal, lost: (error: Error) => void) => Promise<void>) | undefined;
  /** Called after each attempt to connect that failed. */
  readonly connectFailed?: ((error: unknown) => void) | undefined;
}

/** The state at the start of a use. */
interface Attempt {
  readonly action: 'write' | 'process';
  readonly connection: number;
  readonly failures: number;
}

/**
 * The connection of a component to the system that it talks to: it is retried as often as needed, and made again
 * whenever it is lost.
 */
export class KeptConnection {
  readonly #of: Connectable;
  readonly #surroundings: ConnectionSurroundings;
  readonly #retry: Retry;
  #connected: boolean;
  /** The time from the first failed attempt until the next successful one. */
  readonly outage = new Outage();
  /** The number of uses that have failed and will be repeated. */
  #repeating = 0;
  /** Counts failures of uses, so that several that failed together count as one. */
  #failures = 0;
  /** Ends when the next attempt after the last failure may begin. */
  #pausing: Promise<void> = Promise.resolve();
  /** The same, if whoever failed has given up. */
  #resting: Promise<void> | undefined;
  #connecting: Promise<void> | undefined;
  /** Counts connections, so that the end of an old one is not mistaken for the end of a new one. */
  #connection = 0;
  /** Aborts when the component ends. */
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

  /** Connects, with as many attempts as needed. @throws a fatal error, or the signal's reason */
  connect(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    return this.#reconnect(signal, 0).finally(() => this.#attempted.resolve());
  }

  /** Resolves when `connect` has been called and has succeeded, or has failed once. */
  get attempted(): Promise<void> {
    return this.#attempted.promise;
  }

  /**
   * Does something that needs the connection, and repeats it after each failure, unless `isFinal` says that the error
   * must be thrown. `signal` ends only this use: others go on.
   * @throws a fatal error, a final one, or the signal's reason
   */
  async use<T>(
    action: 'write' | 'process',
    act: () => Promise<T> | T,
    signal: AbortSignal,
    isFinal?: (error: unknown) => boolean,
  ): Promise<T> {
    let repeating = false;
    try {
      for (;;) {
        if (this.#resting !== undefined) await abortable(this.#resting, signal);
        if (!this.#connected) await abortable(this.#reconnect(this.#signal ?? signal, 0), signal);
        const attempt = { action, connection: this.#connection, failures: this.#failures };
        try {
          const result = await act();
          if (repeating) this.#repeating--;
          repeating = false;
          this.#succeeded(attempt.connection);
          return result;
        } catch (error) {
          if (isFinal?.(error) === true) throw error;
          if (!repeating) this.#repeating++;
          repeating = true;
          await this.#recover(error, attempt, signal);
        }
      }
    } finally {
      if (repeating) this.#repeating--;
    }
  }

  /** A part of a use succeeded: a failure now is the first in a row. */
  progressed(): void {
    this.#retry.succeeded();
  }

  /** Resolves when no attempt to connect is under way, which ends with the signal that it was given. */
  async close(): Promise<void> {
    this.#connected = false;
    this.#signal = undefined;
    await this.#connecting?.catch(() => {});
  }

  #succeeded(connection: number): void {
    // While others still fail, the outage is not over, and their pauses do not start anew.
    if (this.#repeating > 0) return;
    this.#retry.succeeded();
    if (this.#connected && connection === this.#connection) this.outage.over();
  }

  /** The component reports that its connection is lost: it is made again at once, not only when it is needed. */
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
    this.#surroundings.events.connectionLost(this.#of, error, delay);
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
        // A connection that is made but then useless does not count as recovered until a use succeeds.
        if (this.#repeating === 0) this.outage.over();
        this.#connection++;
        this.#retry.connected();
        if (connect !== undefined) events.connected(stage, type);
      } catch (error) {
        this.#attempted.resolve();
        this.#of.connectFailed?.(error);
        await this.#pause(error, 'connect', signal);
      }
    }
  }

  /** After a failed attempt. By now there may be another connection, or a pause because of another attempt. */
  async #recover(error: unknown, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const life = this.#signal ?? signal;
    life.throwIfAborted();
    if (error instanceof MillraceError && error.fatal) throw error;
    // The first to notice has counted this failure, and already connects or pauses.
    if (error instanceof NotConnectedError) {
      if (this.#connected && attempt.connection === this.#connection) {
        await abortable(this.#again(error, life), signal);
      }
      return;
    }
    if (attempt.failures === this.#failures) {
      this.#failures++;
      this.#pausing = this.#pause(error, attempt.action, life);
    }
    if (signal.aborted) this.#rest(this.#pausing);
    await abortable(this.#pausing, signal);
  }

  /** The next use begins after the pause, because the one that failed does not come again. */
  #rest(pausing: Promise<void>): void {
    this.#resting = pausing;
    const over = (): void => {
      if (this.#resting === pausing) this.#resting = undefined;
    };
    pausing.then(over, over);
  }

  async #pause(error: unknown, action: 'connect' | 'write' | 'process', signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.outage.failed(error);
    const delay = this.#retry.failed(error);
    this.#surroundings.events.attemptFailed(this.#of, action, error, delay);
    await pause(delay, signal);
  }
}
