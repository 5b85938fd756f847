import type { Output, WriteOrder } from '../component/contracts.ts';
import { Waker } from '../component/waker.ts';
import type { Batch } from '../message/batch.ts';
import type { MetaColumn } from '../message/metadata.ts';

/** A batch that is being written, or waits until it may be. */
export interface Flight {
  /** Those of its messages; undefined where they do not matter. A message without one has the key `undefined`. */
  readonly keys: ReadonlySet<string | undefined> | undefined;
  /** The output has been given it at least once. */
  begun: boolean;
  /** When the attempt that is under way began, in milliseconds of `performance.now()`. */
  since: number | undefined;
  /** It is to be written again. */
  failed: boolean;
}

/** Which batches may be written at the same time, as an output declares it. They take off in the order in which they come. */
export class WritesInFlight {
  readonly max: number;
  readonly order: WriteOrder;
  /** In the order in which they took off. */
  readonly #open = new Set<Flight>();
  readonly #waiting = new Set<Flight>();
  /** Of all that are open. */
  readonly #keys = new Set<string | undefined>();
  readonly #changed = new Waker();

  constructor({ maxInFlight = 1, order = 'stream' }: Pick<Output, 'maxInFlight' | 'order'>) {
    this.max = maxInFlight;
    this.order = order;
  }

  /** When the oldest attempt began that is under way, in milliseconds of `performance.now()`. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { since } of this.#open)
      if (since !== undefined && since < (oldest ?? Infinity)) oldest = since;
    return oldest;
  }

  /** Call in the order in which the batches are to be written, then `admitted`, and at the end `leave`. */
  enter(batch: Batch): Flight {
    const keys = this.order === 'key' && this.max > 1 ? keysOf(batch) : undefined;
    const flight = { keys, begun: false, since: undefined, failed: false };
    if (this.#waiting.size === 0 && this.#admits(flight)) this.#admit(flight);
    else this.#waiting.add(flight);
    return flight;
  }

  /** Resolves when it is one of those that may be written; undefined when it is already. @throws the signal's reason */
  admitted(flight: Flight, signal: AbortSignal): Promise<unknown> | undefined {
    return this.#open.has(flight) ? undefined : this.#changed.until(() => this.#open.has(flight), signal);
  }

  /** Resolves when the next attempt to write it may begin; undefined when it may already. @throws the signal's reason */
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

  /** In the order of the stream: what was begun before has been given to the output, and what has failed comes first, alone. */
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
