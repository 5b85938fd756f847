import type { Destination } from '../component/context.ts';
import type { Codec, Keep, Output, WriteCall } from '../component/contracts.ts';
import { framesOf, messagesOf, type Framer, type Frames } from '../component/framing/framer.ts';
import { MessagesRefusedError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Stage } from '../telemetry/events.ts';
import { standstill } from '../component/outage.ts';
import { Coder } from './coder.ts';
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
  readonly #coder: Coder | undefined;
  readonly #framer: Framer | undefined;
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
      /** Undefined where the output does it, or each message is a frame. */
      readonly framer: Framer | undefined;
      readonly type: string;
      readonly stage: 'output' | 'error_output';
      readonly refused: RefusedHandler;
    },
  ) {
    const { output, type, stage } = options;
    this.#output = output;
    this.#coder = options.codec && new Coder(options.codec, stage, type, options);
    this.#framer = options.framer;
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
    await this.#coder?.prepare();
  }

  /** As `Output.takes`; a codec or a framing is given messages. */
  get takes(): 'rows' | undefined {
    return this.#coder === undefined && this.#framer === undefined ? this.#output.takes : undefined;
  }

  /** Whether what it writes goes to clients. */
  get toClients(): boolean {
    return this.#output.toClients ?? false;
  }

  notReady(): string | undefined {
    const { connected, outage } = this.#connection;
    const name = `${this.#stage} ${this.#type}`;
    const uncoded = this.#coder?.notReady(name);
    if (uncoded !== undefined) return uncoded;
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
    const messages = this.#coder === undefined ? batch : await this.#encode(this.#coder, batch, call);
    const frames = framesOf(this.#framer, messages);
    if (frames.refusals.length > 0) this.#refused(this.#stage, messages, frames.refusals, keep);
    if (frames.batch.length === 0) return;
    await this.#connection.use('write', () => this.#writeOnce(messages, frames, call), signal);
  }

  async #writeOnce(messages: Batch, frames: Frames, call: WriteCall): Promise<void> {
    this.#writing = performance.now();
    try {
      await this.#output.write(frames.batch, call);
      const refused = frames.refusals.map(({ index }) => index);
      this.tapPoint.pass(messages.without(refused));
    } catch (error) {
      if (!(error instanceof MessagesRefusedError)) throw error;
      const refusals = error.refusals.flatMap((refusal) =>
        messagesOf(frames, refusal.index, messages.length).map((index) => ({ ...refusal, index })),
      );
      this.#refused(this.#stage, messages, refusals, call.keep);
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
    await this.#coder?.close();
  }

  async #encode(coder: Coder, batch: Batch, { signal, keep }: WriteCall): Promise<Batch> {
    const { batch: encoded, rejections } = await coder.encode(batch, signal);
    if (rejections.length > 0) this.#refused(this.#stage, batch, rejections, keep);
    return encoded;
  }
}
