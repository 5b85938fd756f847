import { defaultBackoff } from '../component/backoff.ts';
import { inField } from '../component/in-field.ts';
import { callForPart, GaveUpError } from '../component/inner-outputs.ts';
import type { Destination, DestinationCall } from '../component/context.ts';
import type { Codec, Keep, Output, WriteOrder } from '../component/contracts.ts';
import { framesOf, type Framer } from '../component/framing/framer.ts';
import type { MillraceError, Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Stage } from '../telemetry/events.ts';
import { standstill } from '../component/outage.ts';
import { Coder } from './coder.ts';
import { checkResult } from './contract.ts';
import { KeptConnection, type ConnectionSurroundings } from './kept-connection.ts';
import { PendingWrite } from './pending-write.ts';
import { TapPoint } from './tap.ts';
import { Trial, type TrialLimits } from './trial.ts';
import { WritesInFlight, type Flight, type QueueLimits } from './writes-in-flight.ts';

/** Called with messages that the output can never take. */
export type RefusedHandler = (
  stage: Stage,
  batch: Batch,
  rejections: readonly Rejection[],
  keep: Keep,
) => void;

/** The options of an output that are the engine's. */
export interface SinkOptions {
  readonly limits: TrialLimits | undefined;
  readonly queue: QueueLimits;
  /** Milliseconds, in the place of those that the output itself asks for. */
  readonly pauses: { readonly initial: number | undefined; readonly max: number | undefined };
}

/** An output with the engine's care: encoded, connected, and retried until it has every message. */
export class Sink implements Destination {
  readonly #output: Output;
  readonly #coder: Coder | undefined;
  readonly #framer: Framer | undefined;
  readonly name: string;
  readonly #stage: 'output' | 'error_output';
  readonly #refused: RefusedHandler;
  readonly #failed: (error: unknown) => void;
  readonly #connection: KeptConnection;
  readonly #flights: WritesInFlight;
  readonly #limits: TrialLimits | undefined;
  readonly #trials = new Set<Trial>();
  /** Its own `error_output`. */
  readonly #errors: Sink | undefined;

  constructor(
    options: ConnectionSurroundings & {
      readonly output: Output;
      readonly codec: Codec | undefined;
      /** Undefined where the output does it, or each message is a frame. */
      readonly framer: Framer | undefined;
      /** Its place among the components of its stage, as metrics name it. */
      readonly name: string;
      readonly stage: 'output' | 'error_output';
      readonly refused: RefusedHandler;
      readonly own: SinkOptions;
      /** Its own `error_output`. */
      readonly errors: Sink | undefined;
      /** Called with the number of messages that a full queue has dropped. */
      readonly dropped: (count: number) => void;
    },
  ) {
    const { output, name, stage, own } = options;
    this.#output = output;
    this.#coder = options.codec && new Coder(options.codec, stage, name, options);
    this.#framer = options.framer;
    this.name = name;
    this.#stage = stage;
    this.#refused = options.refused;
    this.#failed = options.failed;
    this.#errors = options.errors;
    this.#limits = own.limits;
    this.#flights = new WritesInFlight(output, own.queue, options.dropped);
    const connect: Output['connect'] = (signal, lost) => output.connect(signal, lost);
    const connectFailed = (error: unknown): void => {
      for (const trial of this.#trials) trial.failed(error);
    };
    const asked = output.backoff ?? defaultBackoff;
    const { initial = asked.initial, max = asked.max } = own.pauses;
    const backoff = { ...asked, initial, max };
    this.#connection = new KeptConnection({ stage, type: name, backoff, connect, connectFailed }, options);
  }

  /** Behind the output: the messages that it has confirmed. */
  readonly tapPoint = new TapPoint();

  /** @throws what the output says of its configuration */
  async prepare(): Promise<void> {
    await this.#output.prepare?.();
    await this.#coder?.prepare();
    const errors = this.#errors;
    if (errors !== undefined) await inField('error_output', () => errors.prepare());
  }

  /** As `Output.takes`; a codec or a framing is given messages. */
  get takes(): 'rows' | undefined {
    return this.#coder === undefined && this.#framer === undefined ? this.#output.takes : undefined;
  }

  /** As `Output.maxInFlight`: more calls of `write` than that wait for each other. Nobody waits for a queue that drops. */
  get maxInFlight(): number {
    return this.#flights.drops ? Infinity : this.#flights.max;
  }

  /** As `Destination.room`. */
  room(batch: Batch, signal: AbortSignal): Promise<unknown> | undefined {
    return this.#flights.room(batch, signal);
  }

  get connected(): boolean {
    return this.#connection.connected;
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
    return this.#notReady() ?? this.#errors?.notReady();
  }

  #notReady(): string | undefined {
    const { connected, outage } = this.#connection;
    const name = this.#title;
    const uncoded = this.#coder?.notReady();
    if (uncoded !== undefined) return uncoded;
    if (!connected) return outage.describe(`${name} is not connected`);
    if (outage.active) return outage.describe(`${name} cannot write`);
    // An output that consists of others knows which of them stands.
    return (
      this.#output.notReady?.() ??
      standstill(`${name} has not confirmed what it was given`, this.#flights.oldest)
    );
  }

  /** Connects, as often as it takes. @throws a fatal error, or the signal's reason */
  async connect(signal: AbortSignal): Promise<void> {
    this.#errors?.start(signal);
    await this.#coder?.connect(signal);
    await this.#connection.connect(signal);
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
    const errors = this.#errors;
    if (errors !== undefined) await inField('error_output', () => errors.dial(signal));
  }

  /**
   * Resolves when the sink has every message that it can take. Call it in the order in which the batches are to be written.
   * @throws a fatal error, or the signal's reason; GaveUpError if the call has limits
   */
  async write(given: Batch, call: DestinationCall): Promise<void> {
    const limits = call.limits ?? this.#limits;
    const trial = limits && new Trial(limits, call.signal);
    const flight = this.#flights.enter(given);
    let batch = given;
    let pending: PendingWrite | undefined;
    let { signal } = call;
    if (trial !== undefined) {
      ({ signal } = trial);
      this.#trials.add(trial);
      if (!this.connected) trial.begin();
    }
    try {
      const admitted = this.#flights.admitted(flight, signal);
      if (admitted !== undefined) await admitted;
      signal.throwIfAborted();
      const { from, to } = flight;
      if (from >= to) return;
      let inner: DestinationCall = trial === undefined ? call : { ...call, signal };
      if (to - from < given.length) {
        batch = given.slice(from, to);
        inner = callForPart(inner, range(from, to));
      }
      const { messages, sources } =
        this.#coder === undefined
          ? { messages: batch, sources: undefined }
          : await this.#encode(this.#coder, batch, inner);
      const frames = framesOf(this.#framer, messages);
      if (frames.refusals.length > 0) this.#refused(this.#stage, messages, frames.refusals, call.keep);
      if (frames.batch.length === 0) return;
      const writing = new PendingWrite({ messages, sources, frames, order: this.#flights.order });
      pending = writing;
      await this.#connection.use('write', () => this.#attempt(writing, flight, inner, trial), signal);
    } catch (error) {
      if (trial?.error === undefined || call.signal.aborted) throw error;
      this.#giveUp(trial.error, given, flight, pending, call);
    } finally {
      this.#flights.leave(flight);
      if (trial !== undefined) {
        trial.end();
        this.#trials.delete(trial);
      }
    }
  }

  /** @throws GaveUpError if somebody else takes care of what is left */
  #giveUp(
    error: MillraceError,
    given: Batch,
    { from, to }: Flight,
    pending: PendingWrite | undefined,
    call: DestinationCall,
  ): void {
    const left = pending?.left ?? range(0, to - from);
    if (call.limits !== undefined) {
      const origins = new Set(left.map((index) => from + (pending?.sourceOf(index) ?? index)));
      throw new GaveUpError(error, [...origins]);
    }
    const messages = pending?.messages ?? given.slice(from, to);
    this.#refused(
      this.#stage,
      messages,
      left.map((index) => ({ index, error })),
      call.keep,
    );
  }

  /** @throws whatever says that messages are to be written again */
  async #attempt(
    pending: PendingWrite,
    flight: Flight,
    call: DestinationCall,
    trial: Trial | undefined,
  ): Promise<void> {
    const clear = this.#flights.clear(flight, call.signal);
    if (clear !== undefined) await clear;
    this.#flights.begin(flight);
    trial?.begin();
    let left = true;
    try {
      const result = await this.#output.write(pending.batch, pending.nextCall(call));
      if (typeof result === 'object') checkResult(result, this.#title, pending.batch.length);
      const { refused, confirmed, again } = pending.settle(result ?? undefined);
      if (refused.length > 0) this.#refused(this.#stage, pending.messages, refused, call.keep);
      this.tapPoint.pass(confirmed);
      left = again !== undefined;
      if (again === undefined) return;
      if (again.progressed) this.#connection.progressed();
      throw again.reason;
    } catch (error) {
      trial?.failed(error);
      throw error;
    } finally {
      this.#flights.end(flight, left);
    }
  }

  /** As `Output.reopen`. */
  reopen(): void {
    if (this.connected) this.#output.reopen?.();
    this.#errors?.reopen();
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#connection.close();
    await this.#output.close(signal);
    await this.#coder?.close(signal);
    await this.#errors?.close(signal);
  }

  get #title(): string {
    return `${this.#stage} ${this.name}`;
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

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

/** Whether they are 0, 1, 2 and so on. */
function isCounting(places: Uint32Array): boolean {
  return places.every((place, index) => place === index);
}
