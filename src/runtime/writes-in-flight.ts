import type { Output, WriteOrder } from '../component/contracts.ts';
import { Waker } from '../component/waker.ts';
import type { Batch } from '../message/batch.ts';
import type { MetaColumn } from '../message/metadata.ts';

/** A batch that is being written, or waits for its turn. */
export interface Flight {
  /** The keys of its messages; undefined if they do not matter. A message without one has the key `undefined`. */
  readonly keys: ReadonlySet<string | undefined> | undefined;
  /** The output has received it at least once. */
  begun: boolean;
  /** The start of the current attempt, in milliseconds of `performance.now()`. */
  since: number | undefined;
  /** It must be written again. */
  failed: boolean;
}

/**
 * Decides which batches may be written at the same time, as an output declares it. They start in the order in which
 * they come.
 */
export class WritesInFlight {
  readonly max: number;
  readonly order: WriteOrder;
  /** In the order of their start. */
  readonly #open = new Set<Flight>();
  readonly #waiting = new Set<Flight>();
  /** The keys of all open batches. */
  readonly #keys = new Set<string | undefined>();
  readonly #changed = new Waker();

  constructor({ maxInFlight = 1, order = 'stream' }: Pick<Output, 'maxInFlight' | 'order'>) {
    this.max = maxInFlight;
    this.order = order;
  }

  /** The start of the oldest current attempt, in milliseconds of `performance.now()`. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { since } of this.#open)
      if (since !== undefined && since < (oldest ?? Infinity)) oldest = since;
    return oldest;
  }

  /** Call it in the order in which the batches must be written, then `admitted`, and at the end `leave`. */
  enter(batch: Batch): Flight {
    const keys = this.order === 'key' && this.max > 1 ? keysOf(batch) : undefined;
    const flight = { keys, begun: false, since: undefined, failed: false };
    if (this.#waiting.size === 0 && this.#admits(flight)) this.#admit(flight);
    else this.#waiting.add(flight);
    return flight;
  }

  /** Resolves when the batch may be written; undefined if it already may. @throws the signal's reason */
  admitted(flight: Flight, signal: AbortSignal): Promise<unknown> | undefined {
    return this.#open.has(flight) ? undefined : this.#changed.until(() => this.#open.has(flight), signal);
  }

  /**
   * Resolves when the next attempt to write the batch may begin; undefined if it already may. @throws the signal's
   * reason
   */
  clear(flight: Flight, signal: AbortSignal): Promise<unknown> | undefined {
    if (this.max === 1 || this.order !== 'stream' || this.#isClear(flight)) return undefined;
    return this.#changed.until(() => this.#isClear(flight), signal);
  }

  begin(flight: Flight): void {
    flight.begun = true;
    flight.since = performance.now();
    if (this.max > 1) this.#changed.wake();
  }

  /** An attempt has ended. */
  end(flight: Flight, failed: boolean): void {
    flight.since = undefined;
    flight.failed = failed;
    if (this.max > 1) this.#changed.wake();
  }

  leave(flight: Flight): void {
    this.#waiting.delete(flight);
    if (this.#open.delete(flight) && flight.keys !== undefined) {
      for (const key of flight.keys) this.#keys.delete(key);
    }
    for (const next of this.#waiting) {
      if (!this.#admits(next)) break;
      this.#waiting.delete(next);
      this.#admit(next);
    }
    if (this.#open.size > 0) this.#changed.wake();
  }

  #admits({ keys }: Flight): boolean {
    if (this.#open.size >= this.max) return false;
    if (this.order === 'stream') return !this.#someFailed;
    return keys === undefined || this.#keys.isDisjointFrom(keys);
  }

  #admit(flight: Flight): void {
    this.#open.add(flight);
    for (const key of flight.keys ?? []) this.#keys.add(key);
  }

  get #someFailed(): boolean {
    for (const { failed } of this.#open) if (failed) return true;
    return false;
  }

  /** In the order of the stream: every earlier batch has begun. After a failure, the first open batch is written alone. */
  #isClear(flight: Flight): boolean {
    const alone = this.#someFailed;
    let isFirst = true;
    for (const each of this.#open) {
      if (each === flight) {
        if (!alone) return true;
        if (!isFirst) return false;
      } else if (alone ? each.since !== undefined : !each.begun) return false;
      isFirst = false;
    }
    return true;
  }
}

function keysOf({ columns }: Batch): ReadonlySet<string | undefined> {
  return new Set((columns.get('key') as MetaColumn<'key'> | undefined) ?? [undefined]);
}
