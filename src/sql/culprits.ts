import { sqlErrors } from './sql-errors.ts';
import { MillraceError } from '../errors.ts';
import type { Batch, Origin } from '../message/batch.ts';

/** A search may always take so long, in milliseconds. */
const LEAST_TIME = 250;
/** And so many times as long as the query took on the whole batch; where that had too much to do, parts have less. */
const TIMES = 30;
const TIMES_OF_SIZE = 5;
/** It runs the query at most so often, and, on a machine that is busy with something else, may do so at least so often. */
const MAX_ATTEMPTS = 1000;
const LEAST_ATTEMPTS = 100;
/** Of a set of up to so many that fails together, it is asked which are to blame. */
const LARGEST_BLAMED = 8;
/** Where the query has too much to do, no more than this share of a batch can be to blame: else the batch is. */
const LARGEST_SHARE = 1 / 8;
/** Into so many parts a set is cut at first, to find those that it fails without. */
const PARTS = 4;

/** What the query gives for the messages at these places, ascending. `part`: to see whether it fails on a part. */
export type Attempt<T> = (places: readonly number[], part: boolean) => Promise<T>;

export interface Found<T> {
  /** What it gives for the messages that are left; undefined when there are none. */
  readonly result: T | undefined;
  /** What it says of each message that is to blame. */
  readonly culprits: ReadonlyMap<number, MillraceError>;
}

export interface SearchOptions {
  /** What the query said of the whole batch. */
  readonly error: MillraceError;
  /** How long that took, in milliseconds. */
  readonly took: number;
  /** The longest that the search may take, in milliseconds. */
  readonly longest: number;
  /** Messages that are known to fail alone, and how. */
  readonly known: ReadonlyMap<number, MillraceError>;
  /** Ends the search: what an attempt says then is no answer. */
  readonly signal: AbortSignal;
}

/**
 * Finds the messages without which a query does not fail: those on which it fails when it has them alone, and where
 * there are none, a smallest set of those on which it fails together. One sender's messages are looked at together, so
 * that a search that has to end early blames those of few.
 * @throws MillraceError when none can be named; the signal's reason when it aborts
 */
export async function findCulprits<T>(
  batch: Batch,
  attempt: Attempt<T>,
  options: SearchOptions,
): Promise<Found<T>> {
  return await new Search(batch, attempt, options).run(options.error);
}

class Search<T> {
  readonly #attempt: Attempt<T>;
  readonly #culprits: Map<number, MillraceError>;
  /** Those of them that were found to fail together. */
  readonly #sets: (readonly number[])[] = [];
  /** Until when it looks inside one sender's messages, until when at all, and until when in any case. */
  readonly #soft: number;
  readonly #hard: number;
  readonly #end: number;
  readonly #leastAttempts: number;
  readonly #signal: AbortSignal;
  /** The places of the batch, those of each sender together, and whose they are. */
  readonly #order: readonly number[];
  readonly #senders: readonly Origin[];
  #attempts = 0;

  constructor(batch: Batch, attempt: Attempt<T>, { error, took, longest, known, signal }: SearchOptions) {
    this.#attempt = attempt;
    this.#signal = signal;
    this.#culprits = new Map(known);
    const bySender = groupBySender(batch);
    this.#order = [...bySender.values()].flat();
    const senders: Origin[] = [];
    for (const [sender, places] of bySender) for (const place of places) senders[place] = sender;
    this.#senders = senders;
    const now = performance.now();
    const times = isOfSize(error) ? TIMES_OF_SIZE : TIMES;
    const time = Math.min(longest, LEAST_TIME + times * took);
    this.#soft = now + time / 2;
    this.#hard = now + time;
    this.#end = now + longest;
    this.#leastAttempts = isOfSize(error) ? 0 : LEAST_ATTEMPTS;
  }

  async run(error: MillraceError): Promise<Found<T>> {
    let failure = error;
    if (this.#culprits.size === 0) await this.#search(this.#order, failure);
    for (let before = 0; ;) {
      const share = this.#culprits.size / this.#order.length;
      // What has too much to do as a whole has it whoever is left out.
      if (isOfSize(failure) && this.#isOver && share > LARGEST_SHARE) throw failure;
      const rest = this.#rest();
      if (rest.length === 0) return { result: undefined, culprits: this.#culprits };
      if (this.#culprits.size === before) throw this.#unresolved(failure);
      const outcome = await this.#try(rest, false);
      if (!('error' in outcome)) {
        const result = await this.#readmit(rest, outcome.result);
        return { result, culprits: this.#culprits };
      }
      failure = outcome.error;
      before = this.#culprits.size;
      await this.#search(rest, failure);
    }
  }

  get #isOver(): boolean {
    return this.#attempts >= MAX_ATTEMPTS || this.#isPast(this.#hard, this.#leastAttempts);
  }

  #isPast(time: number, leastAttempts: number): boolean {
    const now = performance.now();
    return now > this.#end || (now > time && this.#attempts >= leastAttempts);
  }

  #rest(): number[] {
    return this.#order.filter((place) => !this.#culprits.has(place));
  }

  async #try(places: readonly number[], part = true): Promise<{ result: T } | { error: MillraceError }> {
    this.#attempts++;
    const ascending = places.toSorted((a, b) => a - b);
    const [outcome] = await Promise.allSettled([this.#attempt(ascending, part)]);
    if (outcome.status === 'fulfilled') return { result: outcome.value };
    this.#signal.throwIfAborted();
    // What ends the stream is no answer.
    if (!(outcome.reason instanceof MillraceError) || outcome.reason.fatal) throw outcome.reason;
    return { error: outcome.reason };
  }

  /** Blames some of `part`, on which the query is known to fail. */
  async #search(part: readonly number[], failure: MillraceError): Promise<void> {
    if (part.length === 1) {
      this.#culprits.set(part[0]!, failure);
      return;
    }
    const isOneSender = this.#senders[part[0]!] === this.#senders[part.at(-1)!];
    const isLate = isOneSender && !isOfSize(failure) && this.#isPast(this.#soft, this.#leastAttempts / 2);
    if (this.#isOver || isLate) return this.#giveUp(part, failure);
    const middle = isOneSender ? part.length >> 1 : this.#boundary(part);
    let found = false;
    for (const half of [part.slice(0, middle), part.slice(middle)]) {
      const outcome = await this.#try(half);
      if (!('error' in outcome)) continue;
      found = true;
      await this.#search(half, outcome.error);
    }
    // Too much for the query is no fault of any two.
    if (found || isOfSize(failure)) return;
    const together = await this.#smallest(part, failure);
    if (together === undefined) return this.#giveUp(part, failure);
    for (const place of together.places) this.#culprits.set(place, together.failure);
    if (together.places.length <= LARGEST_BLAMED) this.#sets.push(together.places);
  }

  /** Where the messages of one sender end, near the middle of those of several. */
  #boundary(part: readonly number[]): number {
    const isBoundary = (at: number): boolean => this.#senders[part[at - 1]!] !== this.#senders[part[at]!];
    const middle = part.length >> 1;
    for (let off = 0; ; off++) {
      if (middle - off > 0 && isBoundary(middle - off)) return middle - off;
      if (middle + off < part.length && isBoundary(middle + off)) return middle + off;
    }
  }

  /** They fail without the others, so the others have a result without them. */
  #giveUp(part: readonly number[], failure: MillraceError): void {
    // A part that is too slow is so by the measure of a part.
    if (failure.code === sqlErrors.MILLRACE_SQL_TIMEOUT.code) return;
    for (const place of part) this.#culprits.set(place, this.#unresolved(failure));
  }

  /** A set of `part` on which the query fails and would not if one more were left out; undefined if time is up. */
  async #smallest(
    part: readonly number[],
    error: MillraceError,
  ): Promise<{ places: readonly number[]; failure: MillraceError } | undefined> {
    let places = part;
    let failure = error;
    for (let parts = PARTS; ;) {
      const size = Math.ceil(places.length / parts);
      const before = places.length;
      for (let start = 0; start < places.length && places.length > size;) {
        if (this.#isOver) return undefined;
        const without = [...places.slice(0, start), ...places.slice(start + size)];
        const outcome = await this.#try(without);
        if (!('error' in outcome)) start += size;
        else {
          places = without;
          failure = outcome.error;
        }
      }
      if (size === 1) return { places, failure };
      parts = Math.min(places.length, places.length < before ? PARTS : parts * 2);
    }
  }

  /**
   * Of messages that fail together, those that fail with the rest of the batch as well are to blame, and the others are
   * not, unless there are none such. `result` is that of the rest. @returns what it is with those that are not to blame
   */
  async #readmit(rest: readonly number[], result: T): Promise<T> {
    const innocent: number[] = [];
    for (const set of this.#sets) {
      const harmless: number[] = [];
      for (const place of set) {
        if (this.#isOver) return result;
        if (!('error' in (await this.#try([...rest, place])))) harmless.push(place);
      }
      if (harmless.length < set.length) innocent.push(...harmless);
    }
    if (innocent.length === 0) return result;
    const outcome = await this.#try([...rest, ...innocent], false);
    if ('error' in outcome) return result;
    for (const place of innocent) this.#culprits.delete(place);
    return outcome.result;
  }

  #unresolved(failure: MillraceError): MillraceError {
    if (isOfSize(failure)) return failure;
    const message = `the query fails on messages of this batch, and the search for them was given up: ${failure.message}`;
    return new MillraceError(sqlErrors.MILLRACE_SQL_UNRESOLVED, message, { cause: failure });
  }
}

/** Whether the query had too much to do, and not something that it cannot do. */
export function isOfSize({ code }: MillraceError): boolean {
  return code === sqlErrors.MILLRACE_SQL_TIMEOUT.code || code === sqlErrors.MILLRACE_SQL_TOO_LARGE.code;
}

function groupBySender({ runs, length }: Batch): Map<Origin, number[]> {
  const senders = new Map<Origin, number[]>();
  for (const [at, { origin, start }] of runs.entries()) {
    const places = senders.get(origin) ?? [];
    const end = runs[at + 1]?.start ?? length;
    for (let place = start; place < end; place++) places.push(place);
    senders.set(origin, places);
  }
  return senders;
}
