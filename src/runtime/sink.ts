import type { Destination } from '../component/context.ts';
import type { Codec, Keep, Output, WriteCall } from '../component/contracts.ts';
import { MessagesRefusedError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Stage } from '../telemetry/events.ts';
import { standstill } from '../component/outage.ts';
import { KeptConnection, type ConnectionSurroundings } from './kept-connection.ts';
import { TapPoint } from './tap.ts';

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
  readonly #refused: RefusedHandler;
  readonly #failed: (error: unknown) => void;
  readonly #connection: KeptConnection;
  /** When the write that is under way began, in milliseconds of `performance.now()`. */
  #writing: number | undefined;

  constructor(
    options: ConnectionSurroundings & {
      readonly output: Output;
      readonly codec: Codec | undefined;
      readonly type: string;
      readonly stage: 'output' | 'error_output';
      readonly refused: RefusedHandler;
    },
  ) {
    const { output, type, stage } = options;
    this.#output = output;
    this.#codec = options.codec;
    this.#type = type;
    this.#stage = stage;
    this.#refused = options.refused;
    this.#failed = options.failed;
    const connect: Output['connect'] = (signal, lost) => output.connect(signal, lost);
    this.#connection = new KeptConnection({ stage, type, backoff: output.backoff, connect }, options);
  }

  /** Behind the output: the messages that it has confirmed. */
  readonly tapPoint = new TapPoint();

  /** @throws what the output says of its configuration */
  async prepare(): Promise<void> {
    await this.#output.prepare?.();
  }

  /** As `Output.takes`; a codec is given messages. */
  get takes(): 'rows' | undefined {
    return this.#codec === undefined ? this.#output.takes : undefined;
  }

  /** Whether what it writes goes to clients. */
  get toClients(): boolean {
    return this.#output.toClients ?? false;
  }

  notReady(): string | undefined {
    const { connected, outage } = this.#connection;
    const name = `${this.#stage} ${this.#type}`;
    if (!connected) return outage.describe(`${name} is not connected`);
    if (outage.active) return outage.describe(`${name} cannot write`);
    return (
      standstill(`${name} has not confirmed what it was given`, this.#writing) ?? this.#output.notReady?.()
    );
  }

  /** Connects, as often as it takes. @throws a fatal error, or the signal's reason */
  connect(signal: AbortSignal): Promise<void> {
    return this.#connection.connect(signal);
  }

  start(signal: AbortSignal): void {
    this.connect(signal).catch((error: unknown) => {
      if (!signal.aborted) this.#failed(error);
    });
  }

  /** Resolves when `connect` has been called and has succeeded, or has failed once. */
  get attempted(): Promise<void> {
    return this.#connection.attempted;
  }

  /** Connects once, without trying again. */
  async dial(signal: AbortSignal): Promise<void> {
    await (this.#output.dial?.(signal) ?? this.#output.connect(signal, () => {}));
  }

  /** Resolves when the sink has every message that it can take. @throws a fatal error, or the signal's reason */
  async write(batch: Batch, call: WriteCall): Promise<void> {
    const { signal, keep } = call;
    const pending = this.#codec === undefined ? batch : this.#encode(this.#codec, batch, keep);
    if (pending.length > 0) await this.#connection.use('write', () => this.#writeOnce(pending, call), signal);
  }

  async #writeOnce(batch: Batch, call: WriteCall): Promise<void> {
    this.#writing = performance.now();
    try {
      await this.#output.write(batch, call);
      this.tapPoint.pass(batch);
    } catch (error) {
      if (!(error instanceof MessagesRefusedError)) throw error;
      this.#refused(this.#stage, batch, error.refusals, call.keep);
    } finally {
      this.#writing = undefined;
    }
  }

  /** As `Output.reopen`. */
  reopen(): void {
    if (this.#connection.connected) this.#output.reopen?.();
  }

  async close(): Promise<void> {
    this.#connection.close();
    await this.#output.close();
  }

  #encode(codec: Codec, batch: Batch, keep: Keep): Batch {
    const rejections: Rejection[] = [];
    const encoded = codec.encode(batch, (rejection) => rejections.push(rejection));
    if (rejections.length > 0) this.#refused(this.#stage, batch, rejections, keep);
    return encoded;
  }
}
