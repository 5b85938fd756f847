import type { OpenSession, SessionWatcher } from '../../../component/sessions.ts';
import type { Apart } from '../../../component/framing/framer.ts';
import type { Batch, Run } from '../../../message/batch.ts';
import { Wanted, valuesOf } from './match.ts';

const nobody: ReadonlySet<OpenSession> = new Set();

/** The sessions of a path, and which of them get a message. */
export class Audience implements SessionWatcher {
  readonly #sessions = new Set<OpenSession>();
  /** The sessions by their values in the first entry of `match`: a message must not cost a look at each session. */
  readonly #byValue = new Map<string, Set<OpenSession>>();
  readonly #first: Wanted | undefined;
  readonly #others: readonly Wanted[];

  constructor(match: Readonly<Record<string, string>> = {}) {
    const [first, ...others] = Object.entries(match).map(([entry, text]) => new Wanted(entry, text));
    this.#first = first;
    this.#others = others;
  }

  get size(): number {
    return this.#sessions.size;
  }

  add(session: OpenSession): void {
    this.#sessions.add(session);
    if (this.#first === undefined) return;
    for (const value of valuesOf(session.ext, this.#first.entry)) {
      const known = this.#byValue.get(value);
      if (known === undefined) this.#byValue.set(value, new Set([session]));
      else known.add(session);
    }
  }

  remove(session: OpenSession): void {
    this.#sessions.delete(session);
    if (this.#first === undefined) return;
    for (const value of valuesOf(session.ext, this.#first.entry)) {
      const known = this.#byValue.get(value);
      known?.delete(session);
      if (known?.size === 0) this.#byValue.delete(value);
    }
  }

  /** Separates messages that may be for different sessions; undefined if all messages are for all sessions. */
  apart(batch: Batch): Apart | undefined {
    if (this.#first === undefined) return undefined;
    const wanted = [this.#first, ...this.#others];
    return (index) => {
      const run = batch.runAt(index);
      return JSON.stringify(wanted.map((each) => each.valuesFor(batch, index, run)));
    };
  }

  /** The sessions for the message at `index`, which belongs to `run`; undefined if it lacks a value to match. */
  of(batch: Batch, index: number, run: Run): Iterable<OpenSession> | undefined {
    if (this.#first === undefined) return this.#sessions;
    const values = this.#first.valuesFor(batch, index, run);
    if (values === undefined) return undefined;
    const found = this.#withAny(values);
    if (this.#others.length === 0) return found;
    const rest: { entry: string; values: string | readonly string[] }[] = [];
    for (const wanted of this.#others) {
      const also = wanted.valuesFor(batch, index, run);
      if (also === undefined) return undefined;
      rest.push({ entry: wanted.entry, values: also });
    }
    return [...found].filter((session) =>
      rest.every((each) => valuesOf(session.ext, each.entry).some((own) => isAmong(own, each.values))),
    );
  }

  /** The sessions that have one of the values in the first entry, each once. */
  #withAny(values: string | readonly string[]): ReadonlySet<OpenSession> {
    if (typeof values === 'string') return this.#byValue.get(values) ?? nobody;
    const found = new Set<OpenSession>();
    for (const value of values) for (const session of this.#byValue.get(value) ?? nobody) found.add(session);
    return found;
  }
}

function isAmong(value: string, values: string | readonly string[]): boolean {
  return typeof values === 'string' ? values === value : values.includes(value);
}
