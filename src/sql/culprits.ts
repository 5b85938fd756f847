import { sqlErrors } from './sql-errors.ts';
import { MillraceError } from '../errors.ts';
import type { Batch, Origin } from '../message/batch.ts';

/** A search may always take this long, in milliseconds. */
const LEAST_TIME = 250;
/**
 * It may also take this many times as long as the query took on the whole batch, or fewer times if the batch was too
 * much work: then parts get less.
 */
const TIMES = 30;
const TIMES_OF_SIZE = 5;
/** The most runs of the query in one search, and the number of runs that it may always make, even on a busy machine. */
const MAX_ATTEMPTS = 1000;
const LEAST_ATTEMPTS = 100;
/** In a set of up to this many messages that fail together, the search looks for those to blame. */
const LARGEST_BLAMED = 8;
/**
 * If the batch is too much work for the query, at most this share of it can be to blame; otherwise the whole batch is.
 */
const LARGEST_SHARE = 1 / 8;
/** The number of parts into which a set is cut first, to find those without which it still fails. */
const PARTS = 4;

/** Runs the query on the messages at these places, ascending. `part`: only to see whether it fails on a part. */
export type Attempt<T> = (places: readonly number[], part: boolean) => Promise<T>;

export interface Found<T> {
  /** The query's result for the remaining messages; undefined if there are none. */
  readonly result: T | undefined;
  /** The error of each message that is to blame. */
  readonly culprits: ReadonlyMap<number, MillraceError>;
}

export interface SearchOptions {
  /** The query's error for the whole batch. */
  readonly error: MillraceError;
  /** How long the query took to fail, in milliseconds. */
  readonly took: number;
  /** The longest that the search may take, in milliseconds. */
  readonly longest: number;
  /** Messages that are known to fail alone, with their errors. */
  readonly known: ReadonlyMap<number, MillraceError>;
  /** Ends the search. The outcome of an attempt after that does not count. */
  readonly signal: AbortSignal;
}

/**
 * Finds the messages to blame for a failing query: those on which it fails alone, and if there are none, a smallest set
 * on which it fails together. Messages of one sender are examined together, so that a search that has to end early
 * blames only a few senders.
 * @throws MillraceError if no message can be named; the signal's reason if it aborts
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
  /** Sets of culprits that fail together. */
  readonly #sets: (readonly number[])[] = [];
  /** Deadlines: for looking inside one sender's messages, for looking at all, and the last one in any case. */
  readonly #soft: number;
  readonly #hard: number;
  readonly #end: number;
  readonly #leastAttempts: number;
  readonly #signal: AbortSignal;
  /** The places of the batch, grouped by sender, with the sender of each. */
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
      // If the whole batch is too much work, it stays so whichever message is left out.
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
    // An error that ends the stream says nothing about messages.
    if (!(outcome.reason instanceof MillraceError) || outcome.reason.fatal) throw outcome.reason;
    return { error: outcome.reason };
  }

  /** Blames some messages of `part`, on which the query is known to fail. */
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
    // Too much work for the query is not the fault of any two messages.
    if (found || isOfSize(failure)) return;
    const together = await this.#smallest(part, failure);
    if (together === undefined) return this.#giveUp(part, failure);
    for (const place of together.places) this.#culprits.set(place, together.failure);
    if (together.places.length <= LARGEST_BLAMED) this.#sets.push(together.places);
  }

  /** The end of one sender's messages, near the middle of the messages of several. */
  #boundary(part: readonly number[]): number {
    const isBoundary = (at: number): boolean => this.#senders[part[at - 1]!] !== this.#senders[part[at]!];
    const middle = part.length >> 1;
    for (let off = 0; ; off++) {
      if (middle - off > 0 && isBoundary(middle - off)) return middle - off;
      if (middle + off < part.length && isBoundary(middle + off)) return middle + off;
    }
  }

  /** These fail without the others, so the others have a result without these. */
  #giveUp(part: readonly number[], failure: MillraceError): void {
    // A part counts as too slow by the limit of a part.
    if (failure.code === sqlErrors.MILLRACE_SQL_TIMEOUT.code) return;
    for (const place of part) this.#culprits.set(place, this.#unresolved(failure));
  }

  /**
   * A subset of `part` on which the query fails, and would not fail with one message fewer; undefined if time is up.
   */
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
   * Of messages that fail together, those that also fail with the rest of the batch are to blame, and the others are
   * not, unless there are none such. `result` is the result of the rest. @returns the result with those that are not to
   * blame
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

/** True if the query had too much work, rather than something that it cannot do. */
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
