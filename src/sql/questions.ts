import type { Batch, Run } from '../message/batch.ts';
import type { FieldScanner } from '../message/json-fields.ts';
import { extText } from '../message/metadata.ts';
import { fold } from './database.ts';
import { isSpelling, type FlowSchema } from './flow-schema.ts';
import type { Group } from './growth.ts';
import { Votes, type Sender } from './votes.ts';

/**
 * The number of fields of a batch whose senders are told apart. If more are in question, the senders of the others are
 * not.
 */
const MAX_QUESTIONS = 8;

/** The columns whose type or spelling messages contradict, with the votes of the senders. */
export class Questions {
  readonly #votes = new Map<string, Votes>();
  #batches = 0;

  /**
   * Counts the votes of senders on the columns that the batch puts in question. `news`: the new fields of its messages,
   * by their places. `scanEach` scans the batch again, as was done twice, and calls back after each message that
   * counts.
   * @returns the columns, by their folded names
   */
  count(
    batch: Batch,
    news: ReadonlyMap<number, Group>,
    schema: FlowSchema,
    scanner: FieldScanner,
    scanEach: (each: (index: number) => void) => void,
  ): readonly string[] {
    const keys = this.#keysIn(news, schema);
    if (keys.length === 0) return keys;
    const spellings = keys.map((key) => schema.column(key)?.name ?? key);
    // The senders of those messages are no longer known. The batch’s own messages are among them, twice.
    const before = spellings.map((name) => scanner.takeCount([name]));
    const runAt = runsOf(batch);
    scanEach((index) => {
      const run = runAt(index);
      const group = news.get(index);
      for (const [at, key] of keys.entries()) {
        const fits = scanner.takeCount([spellings[at]!]) > 0;
        if (fits) before[at]! -= 2;
        const own = group?.filter(({ name }) => fold(name) === key) ?? [];
        const choices =
          own.length > 0 ? own.flatMap((each) => schema.choices(each)) : fits ? schema.held(key) : [];
        for (const choice of choices) this.#on(key, choice).count(senderOf(run), choice, 1, run.time);
      }
    });
    const { time } = batch.runs.at(-1)!;
    for (const [at, key] of keys.entries()) {
      if (before[at]! <= 0) continue;
      for (const choice of schema.held(key))
        this.#on(key, choice).count(undefined, choice, before[at]!, time);
    }
    return keys;
  }

  /** True if most senders show `one` of the column rather than any of `others`. */
  prefer(key: string, one: string, others: readonly string[]): boolean {
    return this.#on(key, one).prefer(one, others);
  }

  /** Call this when a column of numbers has become one of numbers that it could not hold. */
  swapNumbers(key: string): void {
    this.#on(key, 'number').swap('number', 'other number');
  }

  forget(key: string): void {
    this.#votes.delete(`type ${key}`);
    this.#votes.delete(`spelling ${key}`);
  }

  /** The columns with more than one type, or more than one spelling, in a batch. */
  #keysIn(news: ReadonlyMap<number, Group>, schema: FlowSchema): string[] {
    const shown = new Map<string, Set<string>>();
    for (const candidate of [...news.values()].flat()) {
      const key = fold(candidate.name);
      const choices = shown.get(key) ?? new Set(schema.held(key));
      for (const choice of schema.choices(candidate)) choices.add(choice);
      shown.set(key, choices);
    }
    const keys: string[] = [];
    for (const [key, choices] of shown) {
      const spellings = [...choices].filter(isSpelling).length;
      if (spellings > 1 || choices.size - spellings > 1) keys.push(key);
    }
    // Different ones each time, so that none is always crowded out.
    const first = keys.length > MAX_QUESTIONS ? this.#batches++ % keys.length : 0;
    return [...keys.slice(first), ...keys.slice(0, first)].slice(0, MAX_QUESTIONS);
  }

  #on(key: string, choice: string): Votes {
    const question = `${isSpelling(choice) ? 'spelling' : 'type'} ${key}`;
    let votes = this.#votes.get(question);
    if (votes === undefined) this.#votes.set(question, (votes = new Votes()));
    return votes;
  }
}

/** A subject has one vote for all its sessions. */
function senderOf({ origin }: Run): Sender {
  return extText(origin.ext, 'subject') ?? extText(origin.ext, 'session_id') ?? origin;
}

/** Returns the run of each message, if asked in order. */
function runsOf({ runs }: Batch): (index: number) => Run {
  let at = 0;
  return (index) => {
    while (at + 1 < runs.length && runs[at + 1]!.start <= index) at++;
    return runs[at]!;
  };
}
