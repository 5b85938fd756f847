import { Budget } from '../component/budget.ts';
import type { Batch } from '../message/batch.ts';
import {
  joinDeliveries,
  positioned,
  type Delivery,
  type InputDelivery,
  type Rejected,
} from '../message/delivery.ts';
import { createReceipt, relayReceipt, type Receipt } from '../message/receipt.ts';
import type { StreamEvents } from '../telemetry/events.ts';
import type { Log, LogReader } from '../delivery/log/log.ts';
import type { Culprits } from './culprits.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { HeldEntries } from './held-entries.ts';

/** How much of the stream's budget may be with the pipeline; the rest is for what has been received. */
const PIPELINE_SHARE = 0.45;

/** The budget of the pipeline of a stream with a log, its buffer included. */
export function shareOfPipeline({ limits: { messages, bytes } }: Budget): Budget {
  return new Budget({ messages: messages * PIPELINE_SHARE, bytes: bytes * PIPELINE_SHARE });
}

/** The most that the pipeline holds at a time: one batch above its share, and `kept` bytes in windows. */
export function mostOf(
  { limits: { messages, bytes } }: Budget,
  kept: number,
): { messages: number; bytes: number } {
  return { messages: messages + MAX_BATCH_MESSAGES + kept, bytes: bytes + MAX_BATCH_BYTES + kept };
}

/** After this long with a full budget, messages that wait for the pipeline are left to the log. Milliseconds. */
const SPILL_AFTER = 500;

/** Waiting messages are passed on in batches of at most this size, as an `Inbox` does. */
const MAX_BATCH_MESSAGES = 16_384;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** The size that counts in a budget. */
type Size = Pick<Batch, 'length' | 'held'>;

/** One entry of the log on its way to the pipeline. */
interface Item extends Delivery {
  readonly number: number;
  readonly rejected: Rejected | undefined;
  /** Its sender waits until it is delivered, so it cannot be left to the log alone. */
  readonly awaited: boolean;
}

/**
 * The entries that the log has and the pipeline has not, in order.
 *
 * While the pipeline keeps up, batches go to it from memory and the log is only written. When it has stalled for a
 * while, waiting entries are dropped from memory and read from the log when their turn comes, so that the input can
 * continue until the log is full.
 */
export class Backlog {
  readonly #log: Log;
  readonly #budget: Budget;
  readonly #deadLetters: DeadLetters;
  readonly #culprits: Culprits;
  readonly #events: StreamEvents;
  readonly #changed: () => void;
  /** Each entry is a batch, the same at each start. */
  readonly #separate: boolean;
  /** Entries that the log keeps after they have been delivered. */
  readonly #held: HeldEntries | undefined;
  #ready: Item[] = [];
  /** Items of entries behind others that must be read from the log first. */
  readonly #kept = new Map<number, Item>();
  /** Reads the entries that are not in memory, from `#next` to `#committed`. */
  #reader: LogReader | undefined;
  /** The number of the next entry that is not in `#ready`. */
  #next: number;
  #committed: number;
  /** New entries are not kept in memory; then older ones are still in the log. */
  #spilling = false;
  /** The entries that the pipeline holds. */
  readonly #handed: Budget;
  /** Their size in the budget. */
  readonly #counted = new Set<Size>();
  readonly #undelivered = new Map<number, (() => void)[]>();
  #spillTimer: NodeJS.Timeout | undefined;
  readonly #unsubscribe: () => void;

  /** Begins with the log's entries from before the start. `changed` is called when the pipeline may take more. */
  constructor(
    log: Log,
    parts: {
      budget: Budget;
      share: Budget;
      deadLetters: DeadLetters;
      culprits: Culprits;
      events: StreamEvents;
      changed: () => void;
      separate: boolean;
      held?: HeldEntries | undefined;
    },
  ) {
    this.#log = log;
    this.#budget = parts.budget;
    this.#handed = parts.share;
    this.#deadLetters = parts.deadLetters;
    this.#culprits = parts.culprits;
    this.#events = parts.events;
    this.#changed = parts.changed;
    this.#separate = parts.separate;
    this.#held = parts.held;
    const { first, last, entries } = log.recovered;
    this.#next = entries > 0 ? first : last + 1;
    this.#committed = last;
    this.#unsubscribe = this.#budget.onChange({
      full: () => this.#startSpillTimer(),
      room: () => this.#stopSpillTimer(),
    });
  }

  /** True while some entries are only in the log. */
  get behind(): boolean {
    return this.#next <= this.#committed;
  }

  /** Calls `act` when an entry has been delivered, or at once if it has. */
  whenDelivered(entry: number, act: () => void): void {
    const waiting = this.#undelivered.get(entry);
    if (waiting !== undefined) waiting.push(act);
    else if (this.#log.has(entry) && this.#held?.has(entry) !== true) this.#undelivered.set(entry, [act]);
    else act();
  }

  /**
   * The next delivery for the pipeline; undefined if there is none, or if the pipeline has enough. `draining`: take
   * entries that are only in the log no further than someone waits for them.
   * @throws MillraceError MILLRACE_WAL_DAMAGED, MILLRACE_WAL_FAILED; the signal's reason when it aborts
   */
  async take(draining: boolean, signal: AbortSignal): Promise<Delivery | undefined> {
    while (this.#hasRoom) {
      const items = this.#takeReady();
      if (items.length > 0) {
        const delivery = this.#give(items);
        if (delivery !== undefined) return delivery;
      } else if (this.behind && (!draining || this.#kept.size > 0)) await this.#readBack(signal);
      else return undefined;
    }
    return undefined;
  }

  /** True if `take` has nothing more to return, whatever the pipeline holds. */
  isDrained(draining: boolean): boolean {
    return this.#ready.length === 0 && (!this.behind || (draining && this.#kept.size === 0));
  }

  async close(): Promise<void> {
    this.#stopSpillTimer();
    this.#unsubscribe();
    await this.#reader?.close();
  }

  /**
   * The log has stored a batch, its newest entry. The batch is done now, unless its sender waits until it is delivered.
   */
  committed({ batch, receipt, confirm, rejected }: InputDelivery, number: number): void {
    const behind = this.behind || this.#spilling;
    this.#spilling = false;
    this.#committed = number;
    const awaited = confirm === 'delivered';
    const stored = (): void => receipt.done(rejected && positioned(rejected.batch, rejected.rejections));
    if (behind && !awaited) return stored();
    const own = awaited
      ? this.#awaitedReceipt(number, receipt)
      : this.#countedReceipt(number, rejected?.batch ?? batch);
    const item = { number, batch, receipt: own, rejected, awaited };
    if (behind) this.#kept.set(number, item);
    else {
      this.#ready.push(item);
      this.#next = number + 1;
    }
    // Already counted as the log's, so that the budget does not seem to have room for a moment.
    if (!awaited) stored();
  }

  /** The receipt of an entry whose sender waits for it, and whose input counts it. */
  #awaitedReceipt(number: number, input: Receipt): Receipt {
    return relayReceipt(input, (error) => {
      if (error === undefined) this.#delivered(number);
    });
  }

  /** The receipt of an entry that its input no longer counts. This counts it, until the pipeline stalls. */
  #countedReceipt(number: number, { length, held }: Size): Receipt {
    const size = { length, held };
    this.#counted.add(size);
    this.#budget.add(length, held);
    const parked = (): void => {
      if (this.#counted.delete(size)) this.#budget.release(length, held);
    };
    return createReceipt({
      settled: (error) => {
        parked();
        if (error === undefined) this.#delivered(number);
      },
      parked,
    });
  }

  #delivered(number: number): void {
    if (this.#held === undefined) this.#log.ack(number);
    else this.#held.add(number);
    const waiting = this.#undelivered.get(number);
    this.#undelivered.delete(number);
    for (const act of waiting ?? []) act();
  }

  get #hasRoom(): boolean {
    const { messages, bytes, limits } = this.#handed;
    return messages === 0 || (messages < limits.messages && bytes < limits.bytes);
  }

  /** The next items that make a batch. */
  #takeReady(): Item[] {
    let count = 0;
    let messages = 0;
    let bytes = 0;
    for (const { batch } of this.#ready) {
      if (
        count > 0 &&
        (this.#separate ||
          batch.format !== this.#ready[0]!.batch.format ||
          messages + batch.length > MAX_BATCH_MESSAGES ||
          bytes + batch.bytes > MAX_BATCH_BYTES)
      )
        break;
      count++;
      messages += batch.length;
      bytes += batch.bytes;
    }
    return this.#ready.splice(0, count);
  }

  /** `items` have one format. @returns the part that the pipeline gets; undefined if there is none */
  #give(items: readonly Item[]): Delivery | undefined {
    const deliveries: Delivery[] = [];
    for (const { number, batch, receipt: own, rejected } of items) {
      const receipt = this.#handedReceipt(number, own, rejected?.batch ?? batch);
      if (rejected !== undefined) {
        this.#deadLetters.reject('codec', rejected.batch, rejected.rejections, () => receipt.fork());
      }
      const delivery = this.#withoutCulprits(number, { batch, receipt });
      if (delivery.batch.length > 0) deliveries.push({ ...delivery, entry: number });
      else receipt.done();
    }
    return joinDeliveries(deliveries)[0];
  }

  /** The messages of an entry that go to the pipeline: all but those that have ended the process again and again. */
  #withoutCulprits(number: number, delivery: Delivery): Delivery {
    const { batch, receipt } = delivery;
    const rejections = this.#culprits.of(number, batch);
    if (rejections.length === 0) return delivery;
    this.#deadLetters.reject('processor', batch, rejections, () => receipt.fork());
    return { batch: batch.without(rejections.map(({ index }) => index)), receipt };
  }

  #handedReceipt(number: number, receipt: Receipt, { length, held }: Size): Receipt {
    this.#handed.add(length, held);
    const release = this.#handed.releaser(length, held);
    const parked = (): void => {
      release();
      this.#changed();
    };
    return relayReceipt(receipt, parked, parked, { log: this.#log.id, first: number, last: number });
  }

  /** Reads the next entries that are not in memory, as many as make a batch. */
  async #readBack(signal: AbortSignal): Promise<void> {
    this.#reader ??= this.#log.reader(this.#next);
    let messages = 0;
    let bytes = 0;
    while (this.behind && messages < MAX_BATCH_MESSAGES && bytes < MAX_BATCH_BYTES) {
      const last = this.#committed;
      const entry = await this.#reader.next(signal);
      if (entry === undefined) {
        // Nothing up to there; entries committed meanwhile may have been missed.
        this.#next = last + 1;
        continue;
      }
      const { number, batch, rejected } = entry;
      const size = rejected?.batch ?? batch;
      messages += size.length;
      bytes += size.bytes;
      const kept = this.#kept.get(number);
      this.#kept.delete(number);
      // Not counted: this reads no more than the pipeline may hold.
      const receipt = createReceipt({
        settled: (error) => {
          if (error === undefined) this.#delivered(number);
        },
      });
      this.#ready.push(kept ?? { number, batch, receipt, rejected, awaited: false });
      this.#next = number + 1;
    }
    if (this.behind) return;
    const reader = this.#reader;
    this.#reader = undefined;
    await reader.close();
  }

  /** The pipeline has stalled: entries that wait for it are left to the log, and the input gets the whole budget. */
  #spill(): void {
    this.#spillTimer = undefined;
    if (this.#counted.size > 0) this.#leaveToLog();
    // The budget is full of messages that are not in the log yet, because its disk is slow, or that are awaited; others
    // may be counted after them.
    if (this.#budget.full) this.#startSpillTimer();
  }

  #leaveToLog(): void {
    if (this.#ready.length > 0) {
      this.#next = this.#ready[0]!.number;
      for (const item of this.#ready) if (item.awaited) this.#kept.set(item.number, item);
      this.#ready = [];
    }
    this.#spilling = true;
    this.#events.spilled();
    const counted = [...this.#counted];
    this.#counted.clear();
    for (const { length, held } of counted) this.#budget.release(length, held);
  }

  #startSpillTimer(): void {
    this.#spillTimer ??= setTimeout(() => this.#spill(), SPILL_AFTER);
  }

  #stopSpillTimer(): void {
    clearTimeout(this.#spillTimer);
    this.#spillTimer = undefined;
  }
}
