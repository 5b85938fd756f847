import type { OpenSession, SessionDirectory } from '../component/sessions.ts';

/** The open sessions of one engine, by id and by the path that they came to. */
export class Directory implements SessionDirectory {
  readonly #byId = new Map<string, OpenSession>();
  readonly #byPath = new Map<string, Set<OpenSession>>();
  readonly #attached = new Set<string | undefined>();

  declare(path: string): void {
    if (!this.#byPath.has(path)) this.#byPath.set(path, new Set());
  }

  serves(path: string): boolean {
    return this.#byPath.has(path);
  }

  add(path: string, session: OpenSession): () => void {
    this.declare(path);
    this.#byId.set(session.id, session);
    this.#byPath.get(path)!.add(session);
    return () => {
      this.#byId.delete(session.id);
      this.#byPath.get(path)!.delete(session);
    };
  }

  get(id: string): OpenSession | undefined {
    return this.#byId.get(id);
  }

  at(path: string): ReadonlySet<OpenSession> {
    return this.#byPath.get(path) ?? new Set();
  }

  attach(path: string | undefined): void {
    this.#attached.add(path);
  }

  attached(path: string): boolean {
    return this.#attached.has(path) || this.#attached.has(undefined);
  }
}
