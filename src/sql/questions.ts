import type { Batch, Run } from '../message/batch.ts';
import { pathKey, type Path } from '../message/field-path.ts';
import { extText } from '../message/metadata.ts';
import type { FlowSchema } from './flow-schema.ts';
import type { Group } from './growth.ts';
import { Votes, type Sender } from './votes.ts';

/**
 * The number of fields of a batch whose senders are told apart. If more are in question, the senders of the others are
 * not.
 */
const MAX_QUESTIONS = 8;

/** The columns whose type messages contradict, with the votes of the senders. */
export class Questions {
  /** By `pathKey`. */
  readonly #votes = new Map<string, Votes>();
  #batches = 0;

  /**
   * Counts the votes of senders on the columns that the batch puts in question. `news`: the new columns and kinds of its
   * messages, by their places. `takeCount` returns how many messages have had the column with an allowed, non-null value
   * since the last call. `scanEach` scans the batch again, as was done twice, and calls back after each message that
   * counts.
   * @returns the columns
   */
  count(
    batch: Batch,
    news: ReadonlyMap<number, Group>,
    schema: FlowSchema,
    takeCount: (path: Path) => number,
    scanEach: (each: (index: number) => void) => void,
  ): readonly Path[] {
    const paths = this.#pathsIn(news, schema);
    if (paths.length === 0) return paths;
    const keys = paths.map(pathKey);
    // The senders of those messages are no longer known. The batch’s own messages are among them, twice.
    const before = paths.map(takeCount);
    const runAt = runsOf(batch);
    scanEach((index) => {
      const run = runAt(index);
      const group = news.get(index);
      for (const [at, path] of paths.entries()) {
        const fits = takeCount(path) > 0;
        if (fits) before[at]! -= 2;
        const own = group?.filter((each) => pathKey(each.path) === keys[at]) ?? [];
        const choices =
          own.length > 0 ? own.flatMap((each) => schema.choices(each)) : fits ? schema.held(path) : [];
        for (const choice of choices) this.#on(keys[at]!).count(senderOf(run), choice, 1, run.time);
      }
    });
    const { time } = batch.runs.at(-1)!;
    for (const [at, path] of paths.entries()) {
      if (before[at]! <= 0) continue;
      for (const choice of schema.held(path)) this.#on(keys[at]!).count(undefined, choice, before[at]!, time);
    }
    return paths;
  }

  /** True if most senders show `one` of the column rather than any of `others`. `key`: its `pathKey`. */
  prefer(key: string, one: string, others: readonly string[]): boolean {
    return this.#on(key).prefer(one, others);
  }

  /** Call this when a column of numbers has become one of numbers that it could not hold. */
  swapNumbers(path: Path): void {
    this.#on(pathKey(path)).swap('number', 'other number');
  }

  forget(path: Path): void {
    this.#votes.delete(pathKey(path));
  }

  /** The columns with more than one type in a batch. */
  #pathsIn(news: ReadonlyMap<number, Group>, schema: FlowSchema): Path[] {
    const shown = new Map<string, { path: Path; choices: Set<string> }>();
    for (const candidate of [...news.values()].flat()) {
      const { path } = candidate;
      const key = pathKey(path);
      const known = shown.get(key) ?? { path, choices: new Set(schema.held(path)) };
      for (const choice of schema.choices(candidate)) known.choices.add(choice);
      shown.set(key, known);
    }
    const paths = [...shown.values()].flatMap(({ path, choices }) => (choices.size > 1 ? [path] : []));
    // Different ones each time, so that none is always crowded out.
    const first = paths.length > MAX_QUESTIONS ? this.#batches++ % paths.length : 0;
    return [...paths.slice(first), ...paths.slice(0, first)].slice(0, MAX_QUESTIONS);
  }

  #on(key: string): Votes {
    let votes = this.#votes.get(key);
    if (votes === undefined) this.#votes.set(key, (votes = new Votes()));
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
