import type { Destination, DestinationCall } from '../component/context.ts';
import type { Codec, Keep, Output, WriteOrder } from '../component/contracts.ts';
import { framesOf, type Framer } from '../component/framing/framer.ts';
import type { Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Stage } from '../telemetry/events.ts';
import { standstill } from '../component/outage.ts';
import { Coder } from './coder.ts';
import { checkResult } from './contract.ts';
import { KeptConnection, type ConnectionSurroundings } from './kept-connection.ts';
import { PendingWrite } from './pending-write.ts';
import { TapPoint } from './tap.ts';
import { WritesInFlight, type Flight } from './writes-in-flight.ts';

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
  readonly #flights: WritesInFlight;

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
    this.#flights = new WritesInFlight(output);
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

  /** As `Output.maxInFlight`: more calls of `write` than that wait for each other. */
  get maxInFlight(): number {
    return this.#flights.max;
  }

  /** As `Output.order`. */
  get order(): WriteOrder {
    return this.#flights.order;
  }

  /** As `Output.identified`. */
  get identified(): boolean {
    return this.#output.identified ?? false;
  }

  /** Whether what it writes goes to clients. */
  get toClients(): boolean {
    return this.#output.toClients ?? false;
  }

  notReady(): string | undefined {
    const { connected, outage } = this.#connection;
    const name = this.#name;
    const uncoded = this.#coder?.notReady();
    if (uncoded !== undefined) return uncoded;
    if (!connected) return outage.describe(`${name} is not connected`);
    if (outage.active) return outage.describe(`${name} cannot write`);
    return (
      standstill(`${name} has not confirmed what it was given`, this.#flights.oldest) ??
      this.#output.notReady?.()
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

  /**
   * Resolves when the sink has every message that it can take. Call it in the order in which the batches are to be written.
   * @throws a fatal error, or the signal's reason
   */
  async write(batch: Batch, call: DestinationCall): Promise<void> {
    const { signal, keep } = call;
    const flight = this.#flights.enter(batch);
    try {
      const admitted = this.#flights.admitted(flight, signal);
      if (admitted !== undefined) await admitted;
      signal.throwIfAborted();
      const { messages, sources } =
        this.#coder === undefined
          ? { messages: batch, sources: undefined }
          : await this.#encode(this.#coder, batch, call);
      const frames = framesOf(this.#framer, messages);
      if (frames.refusals.length > 0) this.#refused(this.#stage, messages, frames.refusals, keep);
      if (frames.batch.length === 0) return;
      const pending = new PendingWrite({ messages, sources, frames, order: this.#flights.order });
      await this.#connection.use('write', () => this.#attempt(pending, flight, call), signal);
    } finally {
      this.#flights.leave(flight);
    }
  }

  /** @throws whatever says that messages are to be written again */
  async #attempt(pending: PendingWrite, flight: Flight, call: DestinationCall): Promise<void> {
    const clear = this.#flights.clear(flight, call.signal);
    if (clear !== undefined) await clear;
    this.#flights.begin(flight);
    let left = true;
    try {
      const result = await this.#output.write(pending.batch, pending.nextCall(call));
      if (typeof result === 'object') checkResult(result, this.#name, pending.batch.length);
      const { refused, confirmed, again } = pending.settle(result ?? undefined);
      if (refused.length > 0) this.#refused(this.#stage, pending.messages, refused, call.keep);
      this.tapPoint.pass(confirmed);
      left = again !== undefined;
      if (again === undefined) return;
      if (again.progressed) this.#connection.progressed();
      throw again.reason;
    } finally {
      this.#flights.end(flight, left);
    }
  }

  /** As `Output.reopen`. */
  reopen(): void {
    if (this.#connection.connected) this.#output.reopen?.();
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#connection.close();
    await this.#output.close(signal);
    await this.#coder?.close(signal);
  }

  get #name(): string {
    return `${this.#stage} ${this.#type}`;
  }

  /** Encodes a batch; `sources` has the place of each message's origin in it, unless that is its own. */
  async #encode(
    coder: Coder,
    batch: Batch,
    { signal, keep }: DestinationCall,
  ): Promise<{ readonly messages: Batch; readonly sources: Uint32Array | undefined }> {
    const given = batch.withPositions('own');
    const { batch: encoded, rejections } = await coder.encode(given, signal);
    if (rejections.length > 0) this.#refused(this.#stage, batch, rejections, keep);
    if (encoded === given) return { messages: batch, sources: undefined };
    const { positions: sources } = encoded.parts;
    const { positions } = batch.parts;
    if (sources === undefined) return { messages: encoded, sources };
    if (sources === 'own') return { messages: encoded.withPositions(positions), sources: undefined };
    const own = positions === undefined || positions === 'own';
    const before = own ? positions && sources : sources.map((index) => positions[index]!);
    return { messages: encoded.withPositions(before), sources: isCounting(sources) ? undefined : sources };
  }
}

/** Whether they are 0, 1, 2 and so on. */
function isCounting(places: Uint32Array): boolean {
  return places.every((place, index) => place === index);
}
