import { defaultBackoff } from '../component/backoff.ts';
import type { Budget } from '../component/budget.ts';
import type { Source } from '../component/context.ts';
import type { Codec, Input } from '../component/contracts.ts';
import { EndOfInputError, NotConnectedError, type Rejection } from '../errors.ts';
import { positioned, type InputDelivery, type Rejected } from '../message/delivery.ts';
import { relayReceipt } from '../message/receipt.ts';
import type { StreamEvents } from '../telemetry/events.ts';
import type { Unframer } from '../component/framing/unframer.ts';
import { Coder } from './coder.ts';
import { checkResult } from './contract.ts';
import type { DeadLetters } from './dead-letters.ts';
import { Outage } from '../component/outage.ts';
import { Retry, pause } from './retry.ts';
import type { Pace } from './pace.ts';
import type { StartGate } from './start-gate.ts';
import { unframed } from './unframed-delivery.ts';

/** A supervised input: connected, retried, counted in the budget, and decoded. */
export class SupervisedInput implements Source {
  readonly #input: Input;
  readonly #coder: Coder | undefined;
  readonly #unframer: Unframer | undefined;
  readonly #type: string;
  readonly #events: StreamEvents;
  readonly #budget: Budget;
  readonly #deadLetters: DeadLetters;
  readonly #retry: Retry;
  readonly #gate: StartGate;
  readonly #pace: Pace;
  /** The end of the last read, in milliseconds of `performance.now()`. */
  #lastRead = 0;
  /** The codec's rejections are kept with the batch, for the stream's log. */
  readonly #durable: boolean;
  /** Tells the gate that the input has tried to listen; undefined for a client. */
  readonly #listened: (() => void) | undefined;
  /** Aborts waits that do not take part in a drain: connecting, pauses, and reads of inputs that cannot drain. */
  readonly #draining = new AbortController();
  #connected = false;
  /** True once a real connection was made; a failed attempt may deliver messages too. */
  #ready = false;
  /** The time from the first failed attempt to connect or read until the first successful one. */
  readonly #outage = new Outage();

  constructor(options: {
    input: Input;
    codec: Codec | undefined;
    /** Undefined if the input does it, or if each message is a frame. */
    unframer: Unframer | undefined;
    type: string;
    events: StreamEvents;
    budget: Budget;
    deadLetters: DeadLetters;
    gate: StartGate;
    pace: Pace;
    durable: boolean;
  }) {
    this.#input = options.input;
    const { codec, type, events, gate } = options;
    this.#coder = codec && new Coder(codec, 'input', type, { events, gate, failed: () => {} });
    this.#unframer = options.unframer;
    this.#type = options.type;
    this.#events = options.events;
    this.#budget = options.budget;
    this.#deadLetters = options.deadLetters;
    this.#retry = new Retry(options.input.backoff ?? defaultBackoff);
    this.#gate = options.gate;
    this.#pace = options.pace;
    this.#durable = options.durable;
    this.#listened = this.listens ? options.gate.expect() : undefined;
  }

  get listens(): boolean {
    return this.#input.listens ?? false;
  }

  async prepare(): Promise<void> {
    await this.#input.prepare?.();
    await this.#coder?.prepare();
  }

  notReady(): string | undefined {
    const reason = this.#input.notReady?.();
    const { active } = this.#outage;
    const name = `input ${this.#type}`;
    const uncoded = this.#coder?.notReady();
    if (uncoded !== undefined) return uncoded;
    if (this.#connected) {
      return reason ?? (active ? this.#outage.describe(`${name} cannot read`) : this.#input.trouble?.());
    }
    if (active || reason === undefined) return this.#outage.describe(`${name} is not connected`);
    return `${name} is not connected: ${reason}`;
  }

  async dial(signal: AbortSignal): Promise<void> {
    await (this.#input.dial?.(signal) ?? this.#input.connect(signal));
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    const drained = this.#draining.signal;
    const either = this.#either(signal);
    for (;;) {
      let action: 'connect' | 'read' = 'connect';
      try {
        if (!this.#connected) {
          if (drained.aborted) throw new EndOfInputError();
          await this.#connect(either);
          this.#connected = true;
          // `drain` may have been called just now, without reaching the input.
          if (drained.aborted) this.#input.drain?.();
          this.#ready = this.#input.notReady?.() === undefined;
          if (this.#ready) this.#hasConnected();
        }
        action = 'read';
        const delivery = await this.#next(this.#input.drain === undefined ? either : signal);
        if (this.#ready && this.#outage.active) this.#outage.over();
        if (delivery.batch.length > 0 || delivery.rejected !== undefined) return delivery;
        delivery.receipt.done();
      } catch (error) {
        await this.#recover(error, action, signal, either);
      }
    }
  }

  drain(): void {
    this.#draining.abort();
    if (this.#connected) this.#input.drain?.();
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#connected = false;
    await this.#input.close(signal);
    await this.#coder?.close(signal);
  }

  async #connect(signal: AbortSignal): Promise<void> {
    if (this.#listened === undefined) await this.#gate.wait(signal);
    try {
      await this.#input.connect(signal);
    } finally {
      this.#listened?.();
    }
  }

  #combined: { of: AbortSignal; signal: AbortSignal } | undefined;

  #either(signal: AbortSignal): AbortSignal {
    if (this.#combined?.of !== signal) {
      this.#combined = { of: signal, signal: AbortSignal.any([signal, this.#draining.signal]) };
    }
    return this.#combined.signal;
  }

  #hasConnected(): void {
    this.#outage.over();
    this.#retry.connected();
    // A composite input reports nothing when it connects; each of its parts does.
    if (this.#input.composite !== true) this.#events.connected('input', this.#type);
  }

  async #next(signal: AbortSignal): Promise<InputDelivery> {
    const budgeted = this.#input.budgeted ?? false;
    if (!budgeted && this.#budget.full) await this.#budget.room(signal);
    if (this.#input.gathers === true) await this.#gather(signal);
    signal.throwIfAborted();
    let delivery = await this.#input.read(signal);
    this.#lastRead = performance.now();
    if (this.#input.composite !== true) {
      delivery = { ...delivery, batch: delivery.batch.withPositions('own') };
      if (this.#unframer !== undefined) delivery = unframed(delivery, this.#unframer);
      this.#events.batchRead(delivery.batch);
    }
    if (!budgeted) delivery = this.#count(delivery);
    const { refused } = delivery;
    if (this.#coder === undefined && refused === undefined) return delivery;
    return await this.#checked(delivery, refused ?? [], signal);
  }

  /** Lets messages gather since the last read. A stream that ends does not wait for more. */
  async #gather(signal: AbortSignal): Promise<void> {
    const { rest } = this.#pace;
    const left = rest === 0 ? 0 : Math.round(this.#lastRead + rest - performance.now());
    if (left > 0) await pause(left, this.#either(signal)).catch(() => {});
  }

  #count(delivery: InputDelivery): InputDelivery {
    const { length, bytes } = delivery.batch;
    this.#budget.add(length, bytes);
    const release = this.#budget.releaser(length, bytes);
    const settled = (error: unknown): void => {
      if (error === undefined) release();
    };
    return { ...delivery, receipt: relayReceipt(delivery.receipt, settled, release) };
  }

  /** The codec's result for a delivery, without the messages that the codec and the input reject. */
  async #checked(
    delivery: InputDelivery,
    refused: readonly Rejection[],
    signal: AbortSignal,
  ): Promise<InputDelivery> {
    const { batch, rejected: before, receipt } = delivery;
    try {
      checkResult({ refused }, `input ${this.#type}`, batch.length);
    } catch (error) {
      receipt.failed(error);
      throw error;
    }
    const framed = batch.without(refused.map(({ index }) => index).toSorted((a, b) => a - b));
    const coded = this.#coder === undefined ? undefined : await this.#coder.decode(framed, signal);
    const { batch: made, rejections: own } = coded ?? { batch: framed, rejections: [] };
    const checked = { ...delivery, refused: undefined, batch: made };
    // The codec did not see the messages that the input refused.
    const rest = refused.length === 0 ? own : positioned(framed, own);
    const rejections = [...refused, ...rest];
    if (rejections.length === 0) return checked;
    if (this.#durable) return { ...checked, rejected: allRejected(before, { batch, rejections }) };
    this.#deadLetters.reject('codec', batch, rejections, () => receipt.fork());
    return checked;
  }

  async #recover(
    error: unknown,
    action: 'connect' | 'read',
    signal: AbortSignal,
    either: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    if (error instanceof EndOfInputError) throw error;
    this.#outage.failed(error);
    const lost = this.#connected && error instanceof NotConnectedError;
    if (lost) this.#connected = false;
    if (this.#draining.signal.aborted && (!this.#connected || this.#input.drain === undefined)) {
      throw new EndOfInputError();
    }
    const delay = this.#retry.failed(error);
    const part = { stage: 'input', type: this.#type } as const;
    if (lost && this.#ready) this.#events.connectionLost(part, error, delay);
    else this.#events.attemptFailed(part, lost ? 'connect' : action, error, delay);
    await pause(delay, either).catch(() => signal.throwIfAborted());
  }
}

/** The rejections of a part of an input, and of the rest of its messages. */
function allRejected(before: Rejected | undefined, now: Rejected): Rejected {
  if (before === undefined) return now;
  // The part's delivery is the whole delivery, so its places are the positions.
  return {
    batch: before.batch,
    rejections: [...before.rejections, ...positioned(now.batch, now.rejections)],
  };
}
