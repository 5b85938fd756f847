import { defaultBackoff } from '../component/backoff.ts';
import type { Codec, Output } from '../component/contracts.ts';
import { MessagesRefusedError, NotConnectedError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Stage, StreamEvents } from '../telemetry/events.ts';
import { Retry, pause } from './retry.ts';

/** Called with messages that the output can never take. */
export type RefusedHandler = (stage: Stage, batch: Batch, rejections: readonly Rejection[]) => void;

/** An output with the engine's care: encoded, connected, and retried until it has every message. */
export class Sink {
  readonly #output: Output;
  readonly #codec: Codec | undefined;
  readonly #type: string;
  readonly #stage: 'output' | 'error_output';
  readonly #events: StreamEvents;
  readonly #refused: RefusedHandler;
  readonly #retry: Retry;
  #connected = false;
  #connecting: Promise<void> | undefined;

  constructor(options: {
    output: Output;
    codec: Codec | undefined;
    type: string;
    stage: 'output' | 'error_output';
    events: StreamEvents;
    refused: RefusedHandler;
  }) {
    this.#output = options.output;
    this.#codec = options.codec;
    this.#type = options.type;
    this.#stage = options.stage;
    this.#events = options.events;
    this.#refused = options.refused;
    this.#retry = new Retry(options.output.backoff ?? defaultBackoff);
  }

  notReady(): string | undefined {
    return this.#connected ? undefined : `${this.#stage} ${this.#type} is not connected`;
  }

  /** Connects, as often as it takes. @throws a fatal error, or the signal's reason */
  connect(signal: AbortSignal): Promise<void> {
    this.#connecting ??= this.#connect(signal).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  /** Connects once, without trying again. */
  async dial(signal: AbortSignal): Promise<void> {
    await this.#output.connect(signal);
  }

  /** Resolves when the sink has every message that it can take. @throws a fatal error, or the signal's reason */
  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    let pending = this.#codec === undefined ? batch : this.#encode(this.#codec, batch);
    while (pending.length > 0) {
      if (!this.#connected) await this.connect(signal);
      try {
        await this.#output.write(pending, signal);
        break;
      } catch (error) {
        if (error instanceof MessagesRefusedError) {
          this.#refused(this.#stage, pending, error.refusals);
          break;
        }
        await this.#recover(error, 'write', signal);
      }
    }
    this.#retry.succeeded();
  }

  async close(): Promise<void> {
    this.#connected = false;
    await this.#output.close();
  }

  #encode(codec: Codec, batch: Batch): Batch {
    const rejections: Rejection[] = [];
    const encoded = codec.encode(batch, (rejection) => rejections.push(rejection));
    if (rejections.length > 0) this.#refused(this.#stage, batch, rejections);
    return encoded;
  }

  async #connect(signal: AbortSignal): Promise<void> {
    while (!this.#connected) {
      signal.throwIfAborted();
      try {
        await this.#output.connect(signal);
        this.#connected = true;
        this.#events.connected(this.#stage, this.#type);
      } catch (error) {
        await this.#recover(error, 'connect', signal);
      }
    }
  }

  async #recover(error: unknown, action: 'connect' | 'write', signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (error instanceof NotConnectedError) this.#connected = false;
    const delay = this.#retry.failed(error);
    this.#events.attemptFailed(this.#stage, action, error, delay);
    await pause(delay, signal);
  }
}
