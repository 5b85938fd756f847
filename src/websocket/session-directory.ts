import type { OpenSession, SessionDirectory, SessionWatcher } from '../component/sessions.ts';

interface Place {
  readonly sessions: Set<OpenSession>;
  readonly watchers: Set<SessionWatcher>;
}

/** The open sessions of one engine, by id and by the path that they connected to. */
export class Directory implements Omit<SessionDirectory, 'declare' | 'attach'> {
  readonly #byId = new Map<string, OpenSession>();
  readonly #byPath = new Map<string, Place>();
  readonly #served = new Tally<string>();
  readonly #attached = new Tally<string | undefined>();

  /** As `SessionDirectory.declare`. @returns a function that undoes it */
  declare(path: string): () => void {
    return this.#served.add(path);
  }

  get paths(): readonly string[] {
    return this.#served.all;
  }

  add(path: string, session: OpenSession): void {
    if (!this.attached(path)) return;
    const { sessions, watchers } = this.#at(path);
    this.#byId.set(session.id, session);
    sessions.add(session);
    for (const watcher of watchers) watcher.add(session);
  }

  remove(path: string, session: OpenSession): void {
    const { sessions, watchers } = this.#at(path);
    this.#byId.delete(session.id);
    if (!sessions.delete(session)) return;
    for (const watcher of watchers) watcher.remove(session);
  }

  get(id: string): OpenSession | undefined {
    return this.#byId.get(id);
  }

  watch(path: string, watcher: SessionWatcher): () => void {
    const { sessions, watchers } = this.#at(path);
    for (const session of sessions) watcher.add(session);
    watchers.add(watcher);
    return () => void watchers.delete(watcher);
  }

  /** As `SessionDirectory.attach`. @returns a function that undoes it */
  attach(path: string | undefined): () => void {
    return this.#attached.add(path);
  }

  attached(path: string): boolean {
    return this.#attached.has(path) || this.#attached.has(undefined);
  }

  #at(path: string): Place {
    let place = this.#byPath.get(path);
    if (place === undefined) {
      place = { sessions: new Set(), watchers: new Set() };
      this.#byPath.set(path, place);
    }
    return place;
  }
}

/** A multiset of values: each is there until every addition has been undone. */
class Tally<T> {
  readonly #counts = new Map<T, number>();

  add(value: T): () => void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
    return () => {
      const left = this.#counts.get(value)! - 1;
      if (left > 0) this.#counts.set(value, left);
      else this.#counts.delete(value);
    };
  }

  has(value: T): boolean {
    return this.#counts.has(value);
  }

  get all(): T[] {
    return [...this.#counts.keys()];
  }
}
