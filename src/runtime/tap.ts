import { EndOfInputError } from '../errors.ts';
import { Waker } from '../component/waker.ts';
import type { Batch, Metadata } from '../message/batch.ts';
import { Fifo } from '../message/fifo.ts';

/** A place in a stream for a tap: `processors.<n>` is after the processor at that index. */
export type TapStage = 'input' | 'buffer' | `processors.${number}` | 'output' | 'error_output';

/** The limits of a tap. A message beyond them is counted and skipped. */
export interface TapOptions {
  /** The most messages per second. */
  readonly rate?: number;
  /** The most messages that may wait to be read. */
  readonly messages?: number;
  /** The most bytes of payload that may wait to be read. */
  readonly bytes?: number;
}

/** A message as a tap saw it. The payload is a copy. */
export interface Sample {
  readonly payload: Uint8Array;
  readonly metadata: Metadata;
  /** The number of messages that had passed the stage since the tap was put there, this one included. */
  readonly passed: number;
}

const SECOND = 1_000;

/** An observer at one stage of a stream. It samples, and never holds the stream back. */
export class Tap implements AsyncIterable<Sample> {
  readonly #rate: number;
  readonly #messages: number;
  readonly #bytes: number;
  readonly #waiting = new Fifo<Sample>();
  readonly #waker = new Waker();
  readonly #remove: (tap: Tap) => void;
  #waitingBytes = 0;
  #passed = 0;
  #seen = 0;
  /** The current second, its start, and the number of messages seen in it. */
  #since = -Infinity;
  #seenSince = 0;
  #closed = false;

  constructor({ rate = 100, messages = 1_000, bytes = 1024 * 1024 }: TapOptions, remove: (tap: Tap) => void) {
    this.#rate = rate;
    this.#messages = messages;
    this.#bytes = bytes;
    this.#remove = remove;
  }

  /** The number of messages that have passed the stage. */
  get passed(): number {
    return this.#passed;
  }

  /** The number of skipped messages. */
  get missed(): number {
    return this.#passed - this.#seen;
  }

  /** Called by the stage. */
  offer(batch: Batch): void {
    const before = this.#passed;
    this.#passed += batch.length;
    const now = performance.now();
    if (now - this.#since >= SECOND) {
      this.#since = now;
      this.#seenSince = 0;
    }
    const most = Math.min(batch.length, this.#rate - this.#seenSince, this.#messages - this.#waiting.length);
    for (let index = 0; index < most; index++) {
      const { length } = batch.payloads[index]!;
      if (this.#waitingBytes + length > this.#bytes) break;
      const payload = Buffer.from(batch.payloads[index]!);
      this.#waiting.push({ payload, metadata: batch.metadata(index), passed: before + index + 1 });
      this.#waitingBytes += length;
      this.#seen++;
      this.#seenSince++;
    }
    this.#waker.wake();
  }

  /** Resolves with the next message. @throws EndOfInputError after the end, the signal's reason when it aborts */
  async next(signal: AbortSignal): Promise<Sample> {
    await this.#waker.until(() => this.#waiting.length > 0 || this.#closed, signal);
    const sample = this.#waiting.shift();
    if (sample === undefined) throw new EndOfInputError();
    this.#waitingBytes -= sample.payload.length;
    return sample;
  }

  /** Removes the tap. Messages that it has seen can still be read. */
  close(): void {
    this.#closed = true;
    this.#remove(this);
    this.#waker.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Sample> {
    const never = new AbortController().signal;
    try {
      for (;;) yield await this.next(never);
    } catch (error) {
      if (!(error instanceof EndOfInputError)) throw error;
    } finally {
      this.close();
    }
  }
}

/** A stage for taps. Without one it costs a look at a counter for each batch. */
export class TapPoint {
  readonly #taps = new Set<Tap>();

  /** Shows a passing batch to the taps. */
  pass(batch: Batch): void {
    if (this.#taps.size === 0) return;
    for (const tap of this.#taps) {
      try {
        tap.offer(batch);
      } catch {
        // Whatever it cannot take harms nobody but itself.
        tap.close();
      }
    }
  }

  add(options: TapOptions): Tap {
    const tap = new Tap(options, (each) => void this.#taps.delete(each));
    this.#taps.add(tap);
    return tap;
  }

  /** Ends the taps together with the stream. */
  close(): void {
    for (const tap of this.#taps) tap.close();
  }
}
