import { defaultBackoff } from '../component/backoff.ts';
import type { Destination } from '../component/context.ts';
import type { Codec, Keep, Output, WriteCall } from '../component/contracts.ts';
import { MessagesRefusedError, NotConnectedError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Stage, StreamEvents } from '../telemetry/events.ts';
import { Outage, standstill } from '../component/outage.ts';
import { Retry, pause } from './retry.ts';
import { TapPoint } from './tap.ts';
import type { StartGate } from './start-gate.ts';

/** Called with messages that the output can never take. */
export type RefusedHandler = (
  stage: Stage,
  batch: Batch,
  rejections: readonly Rejection[],
  keep: Keep,
) => void;

/** An output with the engine's care: encoded, connected, and retried until it has every message. */
export class Sink implements Destination {
  readonly #output: Output;
  readonly #codec: Codec | undefined;
  readonly #type: string;
  readonly #stage: 'output' | 'error_output';
  readonly #events: StreamEvents;
  readonly #refused: RefusedHandler;
  readonly #retry: Retry;
  readonly #failed: (error: unknown) => void;
  readonly #gate: StartGate;
  #connected = false;
  /** From the first attempt to connect or to write that failed until one of the kind has succeeded. */
  readonly #outage = new Outage();
  /** When the write that is under way began, in milliseconds of `performance.now()`. */
  #writing: number | undefined;
  /** A batch has failed and is to be written again. */
  #rewriting = false;
  #connecting: Promise<void> | undefined;
  /** Counts connections, so that the end of an old one is not taken for the end of a new one. */
  #connection = 0;
  #signal: AbortSignal | undefined;
  readonly #attempted = Promise.withResolvers<void>();

  constructor(options: {
    output: Output;
    codec: Codec | undefined;
    type: string;
    stage: 'output' | 'error_output';
    events: StreamEvents;
    refused: RefusedHandler;
    /** Called when it has failed for good while nobody was waiting for it. */
    failed: (error: unknown) => void;
    gate: StartGate;
  }) {
    this.#output = options.output;
    this.#codec = options.codec;
    this.#type = options.type;
    this.#stage = options.stage;
    this.#events = options.events;
    this.#refused = options.refused;
    this.#failed = options.failed;
    this.#gate = options.gate;
    this.#retry = new Retry(options.output.backoff ?? defaultBackoff);
  }

  /** Behind the output: the messages that it has confirmed. */
  readonly tapPoint = new TapPoint();

  /** @throws what the output says of its configuration */
  async prepare(): Promise<void> {
    await this.#output.prepare?.();
  }

  /** Whether what it writes goes to clients. */
  get toClients(): boolean {
    return this.#output.toClients ?? false;
  }

  notReady(): string | undefined {
    const name = `${this.#stage} ${this.#type}`;
    if (!this.#connected) return this.#outage.describe(`${name} is not connected`);
    if (this.#outage.active) return this.#outage.describe(`${name} cannot write`);
    return (
      standstill(`${name} has not confirmed what it was given`, this.#writing) ?? this.#output.notReady?.()
    );
  }

  /** Connects, as often as it takes. @throws a fatal error, or the signal's reason */
  connect(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    return this.#reconnect(signal, 0).finally(() => this.#attempted.resolve());
  }

  start(signal: AbortSignal): void {
    this.connect(signal).catch((error: unknown) => {
      if (!signal.aborted) this.#failed(error);
    });
  }

  /** Resolves when `connect` has been called and has succeeded, or has failed once. */
  get attempted(): Promise<void> {
    return this.#attempted.promise;
  }

  /** The output says that its connection is gone: it is made again at once, not only when there is something to write. */
  #lost(error: unknown, connection: number): void {
    const signal = this.#signal;
    if (!this.#connected || connection !== this.#connection || signal === undefined || signal.aborted) return;
    this.#connected = false;
    this.#outage.failed(error);
    try {
      const delay = this.#retry.failed(error);
      this.#events.connectionLost(this.#stage, error, delay);
      this.#reconnect(signal, delay).catch((cause: unknown) => {
        if (!signal.aborted) this.#failed(cause);
      });
    } catch (fatal) {
      this.#failed(fatal);
    }
  }

  /** Connects once, without trying again. */
  async dial(signal: AbortSignal): Promise<void> {
    await (this.#output.dial?.(signal) ?? this.#output.connect(signal, () => {}));
  }

  /** Resolves when the sink has every message that it can take. @throws a fatal error, or the signal's reason */
  async write(batch: Batch, call: WriteCall): Promise<void> {
    const { signal, keep } = call;
    const pending = this.#codec === undefined ? batch : this.#encode(this.#codec, batch, keep);
    while (pending.length > 0) {
      if (!this.#connected) await this.connect(signal);
      const connection = this.#connection;
      this.#writing = performance.now();
      try {
        await this.#output.write(pending, call);
        this.tapPoint.pass(pending);
        break;
      } catch (error) {
        this.#writing = undefined;
        if (error instanceof MessagesRefusedError) {
          this.#refused(this.#stage, pending, error.refusals, keep);
          break;
        }
        this.#rewriting = true;
        await this.#recover(error, 'write', connection, signal);
      }
    }
    this.#writing = undefined;
    this.#retry.succeeded();
    if (!this.#rewriting) return;
    this.#rewriting = false;
    this.#outage.over();
  }

  /** As `Output.reopen`. */
  reopen(): void {
    if (this.#connected) this.#output.reopen?.();
  }

  async close(): Promise<void> {
    this.#connected = false;
    this.#signal = undefined;
    await this.#output.close();
  }

  #encode(codec: Codec, batch: Batch, keep: Keep): Batch {
    const rejections: Rejection[] = [];
    const encoded = codec.encode(batch, (rejection) => rejections.push(rejection));
    if (rejections.length > 0) this.#refused(this.#stage, batch, rejections, keep);
    return encoded;
  }

  #reconnect(signal: AbortSignal, delay: number): Promise<void> {
    this.#connecting ??= this.#connect(signal, delay).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(signal: AbortSignal, delay: number): Promise<void> {
    if (delay > 0) await pause(delay, signal);
    await this.#gate.wait(signal);
    while (!this.#connected) {
      signal.throwIfAborted();
      try {
        const connection = this.#connection + 1;
        await this.#output.connect(signal, (error) => this.#lost(error, connection));
        this.#connected = true;
        // One that takes connections and no writes is not well before a write has succeeded.
        if (!this.#rewriting) this.#outage.over();
        this.#connection++;
        this.#retry.connected();
        this.#events.connected(this.#stage, this.#type);
      } catch (error) {
        this.#attempted.resolve();
        await this.#recover(error, 'connect', this.#connection, signal);
      }
    }
  }

  /** Pauses after a failure. `connection` is the one that failed; by now there may be another. */
  async #recover(
    error: unknown,
    action: 'connect' | 'write',
    connection: number,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const gone = action === 'write' && error instanceof NotConnectedError;
    // `lost` has counted this failure and is connecting already.
    if (gone && (!this.#connected || connection !== this.#connection)) return;
    if (gone) this.#connected = false;
    this.#outage.failed(error);
    const delay = this.#retry.failed(error);
    if (gone) this.#events.connectionLost(this.#stage, error, delay);
    else this.#events.attemptFailed(this.#stage, action, error, delay);
    await pause(delay, signal);
  }
}
