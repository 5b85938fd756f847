import { setImmediate } from 'node:timers/promises';
import type { MillraceError, Rejection } from '../errors.ts';
import { Batch, nowMicros, type Origin, type Run } from '../message/batch.ts';
import type { InputDelivery } from '../message/delivery.ts';
import { createReceipt } from '../message/receipt.ts';
import type { Budget } from './budget.ts';
import { Waker } from './waker.ts';

/** A read takes at most this many, so that no single batch stalls the ones behind it. */
const MAX_BATCH_MESSAGES = 16_384;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** With fewer messages than this, it pays to wait for others. */
const FEW = 256;

/** A payload that keeps more memory alive than this, and many times its own size, is copied out of it. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;
const SPARSE = 8;
/** The same for payloads that are about to be read, for which less is worth a copy. */
const MAX_READ_BYTES = 16 * 1024;

interface Filling {
  payloads: Uint8Array[];
  runs: Run[];
  bytes: number;
  /** The bytes that the budget counts: the payloads, and the memory of their origins. */
  held: number;
  /** The payloads before this one are copies; `bytes` at that point. */
  copied: number;
  copiedBytes: number;
  /**
   * Bytes of memory that the other payloads keep: a payload is a view of the chunk that was read from the socket with
   * it.
   */
  kept: number;
  /** The payloads that are not messages. */
  refused: Rejection[] | undefined;
}

/**
 * Messages that have arrived and have not been read yet, for inputs that are pushed to (sockets). It counts
 * everything in the stream's budget from arrival to receipt; the input pauses its sockets when the budget is full. A
 * read takes everything there is: one message when the stream is quiet, thousands when it is busy.
 */
export class Inbox {
  readonly #budget: Budget;
  readonly #batches: Filling[] = [];
  #last: Filling | undefined;
  #run: Run | undefined;
  /** The memory that the last payload is a view of. */
  #memory: ArrayBufferLike | undefined;
  #time = 0;
  #end: { error: Error } | undefined;
  readonly #waker = new Waker();
  /** The signal of the last read, whose abort ends a wait. */
  #signal: AbortSignal | undefined;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /**
   * `refused` says why the payload is not a message; only its sender and `error_output` get it then.
   * @returns the bytes that it counts in the budget
   */
  push(
    payload: Uint8Array,
    origin: Origin,
    sequence?: number,
    messageType?: 'text' | 'binary',
    refused?: MillraceError,
  ): number {
    let held = payload.length;
    if (this.#time === 0) {
      // All messages of one socket read arrive at one time; the microtask runs once that read has been handled.
      this.#time = nowMicros();
      queueMicrotask(this.#forgetTime);
    }
    let filling = this.#last;
    if (
      filling === undefined ||
      filling.payloads.length >= MAX_BATCH_MESSAGES ||
      filling.bytes >= MAX_BATCH_BYTES
    ) {
      filling = {
        payloads: [],
        runs: [],
        bytes: 0,
        held: 0,
        copied: 0,
        copiedBytes: 0,
        kept: 0,
        refused: undefined,
      };
      this.#batches.push(filling);
      this.#last = filling;
      this.#run = undefined;
      this.#memory = undefined;
    }
    const run = this.#run;
    if (
      run === undefined ||
      run.origin !== origin ||
      run.time !== this.#time ||
      run.messageType !== messageType ||
      sequence !== nextSequence(run, filling.payloads.length)
    ) {
      const start = filling.payloads.length;
      this.#run = { start, origin, time: this.#time, sequence, messageType };
      filling.runs.push(this.#run);
      held += origin.size ?? 0;
    }
    if (refused !== undefined)
      (filling.refused ??= []).push({ index: filling.payloads.length, error: refused });
    filling.payloads.push(payload);
    filling.bytes += payload.length;
    filling.held += held;
    const { buffer } = payload;
    if (buffer !== this.#memory) {
      this.#memory = buffer;
      filling.kept += buffer.byteLength;
      if (filling.kept > MAX_KEPT_BYTES) this.#copySparse(filling);
    }
    this.#budget.add(1, held);
    this.#waker.wake();
    return held;
  }

  get empty(): boolean {
    return this.#batches.length === 0;
  }

  /** After the messages that are there, reads throw `error`. */
  end(error: Error): void {
    this.#end ??= { error };
    this.#waker.wake();
  }

  /** Undoes `end`, for the next connection. */
  reopen(): void {
    this.#end = undefined;
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    while (this.#batches.length === 0) {
      signal.throwIfAborted();
      if (this.#end !== undefined) throw this.#end.error;
      this.#heed(signal);
      await this.#waker.wait();
      // A few messages wait until every socket that has data in this turn of the event loop has been read, so that
      // messages of many connections make one batch. Many messages go on at once, while they are in the processor's
      // cache.
      if ((this.#last?.payloads.length ?? FEW) < FEW) await setImmediate();
    }
    const filling = this.#batches.shift()!;
    if (filling === this.#last) {
      this.#last = undefined;
      this.#memory = undefined;
    }
    if (filling.kept > MAX_READ_BYTES) this.#copySparse(filling);
    const { payloads, runs, held, refused } = filling;
    const parked = this.#budget.releaser(payloads.length, held);
    // Failed messages are still not confirmed: they stay counted, and the stream reports them when it ends.
    const settled = (error: unknown): void => {
      if (error === undefined) parked();
    };
    const batch = new Batch(payloads, { runs, positions: 'own' });
    return { batch, receipt: createReceipt({ settled, parked }), refused };
  }

  /**
   * A message of one byte can keep 64 KiB from the socket alive: its sender filled it with empty fragments, or the
   * rest was for another connection. The budget counts payloads, so only payloads may be kept.
   */
  #copySparse(filling: Filling): void {
    const size = filling.bytes - filling.copiedBytes;
    if (filling.kept < SPARSE * size) return;
    const copy = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (let index = filling.copied; index < filling.payloads.length; index++) {
      const payload = filling.payloads[index]!;
      copy.set(payload, at);
      filling.payloads[index] = copy.subarray(at, at + payload.length);
      at += payload.length;
    }
    filling.copied = filling.payloads.length;
    filling.copiedBytes = filling.bytes;
    filling.kept = 0;
    this.#memory = undefined;
  }

  /** A stream reads with one signal all along, and a listener for each read would cost more than the read. */
  #heed(signal: AbortSignal): void {
    if (signal === this.#signal) return;
    this.#signal?.removeEventListener('abort', this.#wake);
    this.#signal = signal;
    signal.addEventListener('abort', this.#wake, { once: true });
  }

  readonly #wake = (): void => this.#waker.wake();

  readonly #forgetTime = (): void => {
    this.#time = 0;
  };
}

/** The number that a message at `index` needs to continue the run; undefined if the run is not numbered. */
function nextSequence(run: Run, index: number): number | undefined {
  return run.sequence === undefined ? undefined : run.sequence + index - run.start;
}
