import type { Output, WriteOrder } from '../component/contracts.ts';
import { Waker } from '../component/waker.ts';
import type { Batch } from '../message/batch.ts';
import type { MetaColumn } from '../message/metadata.ts';

/** How much may wait for its turn, and what happens to more. */
export interface QueueLimits {
  readonly max_messages: number;
  readonly max_bytes: number;
  /** `block`: the giver waits (`room`). Otherwise, these messages of the queue are dropped. */
  readonly on_full: 'block' | 'drop_newest' | 'drop_oldest';
}

/** A batch that is being written, or waits for its turn. */
export interface Flight {
  /** The messages of the batch that are to be written: from the first of these places to before the second. */
  from: number;
  to: number;
  /** The size of a message, on average. */
  readonly each: number;

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
  readonly #limits: QueueLimits;
  readonly #dropped: (count: number) => void;
  /** In the order of their start. */
  readonly #open = new Set<Flight>();
  readonly #waiting = new Set<Flight>();
  #waitingMessages = 0;
  #waitingBytes = 0;
  /** In the order of their start, those that have not begun. */
  readonly #next = new Set<Flight>();
  #failed = 0;
  /** The keys of all open batches. */
  readonly #keys = new Set<string | undefined>();
  readonly #changed = new Waker();

  /** `dropped` is called with the number of messages that have found no place. */
  constructor(
    { maxInFlight = 1, order = 'stream' }: Pick<Output, 'maxInFlight' | 'order'>,
    limits: QueueLimits,
    dropped: (count: number) => void,
  ) {
    this.max = maxInFlight;
    this.order = order;
    this.#limits = limits;
    this.#dropped = dropped;
  }

  /** Whether a full queue drops messages instead of letting the giver wait. */
  get drops(): boolean {
    return this.#limits.on_full !== 'block';
  }

  /** Resolves when the batch may enter; undefined if it already may. @throws the signal's reason */
  room(batch: Batch, signal: AbortSignal): Promise<unknown> | undefined {
    if (this.drops || this.#fits(batch.length, batch.bytes)) return undefined;
    return this.#changed.until(() => this.#fits(batch.length, batch.bytes), signal);
  }

  /** The start of the oldest current attempt, in milliseconds of `performance.now()`. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { since } of this.#open)
      if (since !== undefined && since < (oldest ?? Infinity)) oldest = since;
    return oldest;
  }

  /**
   * Call it in the order in which the batches must be written, then `admitted`, and at the end `leave`. A full queue that
   * drops messages leaves less of the batch, or of those that wait, to be written.
   */
  enter(batch: Batch): Flight {
    const { length } = batch;
    const keys = this.order === 'key' && this.max > 1 ? keysOf(batch) : undefined;
    const each = length === 0 ? 0 : batch.bytes / length;
    const flight: Flight = { keys, from: 0, to: length, each, begun: false, since: undefined, failed: false };
    if (this.#waiting.size === 0 && this.#admits(flight)) this.#admit(flight);
    else {
      if (this.drops) this.#makeRoom(flight);
      if (flight.to > flight.from) this.#wait(flight);
    }
    return flight;
  }

  /**
   * Resolves when the batch may be written, or when nothing of it is left to be written; undefined if it already is so.
   * @throws the signal's reason
   */
  admitted(flight: Flight, signal: AbortSignal): Promise<unknown> | undefined {
    const isOver = (): boolean => this.#open.has(flight) || flight.from >= flight.to;
    return isOver() ? undefined : this.#changed.until(isOver, signal);
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
    this.#next.delete(flight);
    flight.since = performance.now();
    if (this.max > 1) this.#changed.wake();
  }

  /** An attempt has ended. */
  end(flight: Flight, failed: boolean): void {
    flight.since = undefined;
    this.#setFailed(flight, failed);
    if (this.max > 1) this.#changed.wake();
  }

  leave(flight: Flight): void {
    this.#stopWaiting(flight);
    this.#next.delete(flight);
    this.#setFailed(flight, false);
    if (this.#open.delete(flight) && flight.keys !== undefined) {
      for (const key of flight.keys) this.#keys.delete(key);
    }
    for (const next of this.#waiting) {
      if (!this.#admits(next)) break;
      this.#stopWaiting(next);
      this.#admit(next);
    }
    this.#changed.wake();
  }

  #wait(flight: Flight): void {
    this.#waiting.add(flight);
    this.#count(flight.to - flight.from, flight.each);
  }

  #stopWaiting(flight: Flight): void {
    if (this.#waiting.delete(flight)) this.#count(flight.from - flight.to, flight.each);
  }

  #count(messages: number, each: number): void {
    this.#waitingMessages += messages;
    this.#waitingBytes = this.#waiting.size === 0 ? 0 : this.#waitingBytes + messages * each;
  }

  /** A batch that is larger than the limits has the queue for itself. */
  #fits(messages: number, bytes: number): boolean {
    if (this.#waiting.size === 0) return true;
    return (
      this.#waitingMessages + messages <= this.#limits.max_messages &&
      this.#waitingBytes + bytes <= this.#limits.max_bytes
    );
  }

  /** Drops as many messages as it takes: of the batch, or those that have waited longest. */
  #makeRoom(flight: Flight): void {
    const { max_messages: messages, max_bytes: bytes, on_full } = this.#limits;
    const excess = ({ from, to, each }: Flight): number => {
      const tooMany = this.#waitingMessages + to - from - messages;
      const tooLarge = this.#waitingBytes + (to - from) * each - bytes;
      return Math.max(0, tooMany, tooLarge <= 0 || each === 0 ? 0 : Math.ceil(tooLarge / each));
    };
    let dropped = 0;
    if (on_full === 'drop_oldest') {
      for (const oldest of this.#waiting) {
        const over = Math.min(excess(flight), oldest.to - oldest.from);
        if (over === 0) break;
        dropped += over;
        oldest.from += over;
        if (oldest.from === oldest.to) this.#waiting.delete(oldest);
        this.#count(-over, oldest.each);
      }
      this.#changed.wake();
    }
    const over = Math.min(excess(flight), flight.to - flight.from);
    if (on_full === 'drop_oldest') flight.from += over;
    else flight.to -= over;
    dropped += over;
    if (dropped > 0) this.#dropped(dropped);
  }

  #setFailed(flight: Flight, failed: boolean): void {
    this.#failed += Number(failed) - Number(flight.failed);
    flight.failed = failed;
  }

  #admits({ keys }: Flight): boolean {
    if (this.#open.size >= this.max) return false;
    if (this.order === 'stream') return this.#failed === 0;
    return keys === undefined || this.#keys.isDisjointFrom(keys);
  }

  #admit(flight: Flight): void {
    this.#open.add(flight);
    this.#next.add(flight);
    for (const key of flight.keys ?? []) this.#keys.add(key);
  }

  /** In the order of the stream: every earlier batch has begun. After a failure, the first open batch is written alone. */
  #isClear(flight: Flight): boolean {
    if (this.#failed === 0) return flight.begun || this.#next.values().next().value === flight;
    const [first] = this.#open;
    return first === flight && this.#open.values().every(({ since }) => since === undefined);
  }
}

function keysOf({ columns }: Batch): ReadonlySet<string | undefined> {
  return new Set((columns.get('key') as MetaColumn<'key'> | undefined) ?? [undefined]);
}
