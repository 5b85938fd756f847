import { poolSize, sqlThreads } from './threads.ts';

interface Waiting {
  readonly holder: object;
  readonly enter: () => void;
}

/**
 * Lets a limited number in at a time. The waiting holder with the fewest inside is next. The last place is kept for
 * holders that have none inside, so that one holder cannot keep all others out.
 */
export class Gate {
  readonly places: number;
  #free: number;
  readonly #inside = new Map<object, number>();
  readonly #waiting: Waiting[] = [];

  constructor(places: number) {
    this.places = places;
    this.#free = places;
  }

  /**
   * Undefined if `holder` enters at once; otherwise a promise that resolves when it has entered. @throws the signal's
   * reason while it waits
   */
  enter(holder: object, signal: () => AbortSignal): Promise<void> | undefined {
    if (this.#mayEnter(holder)) {
      this.#admit(holder);
      return undefined;
    }
    return this.#wait(holder, signal());
  }

  leave(holder: object): void {
    const inside = this.#inside.get(holder)! - 1;
    if (inside === 0) this.#inside.delete(holder);
    else this.#inside.set(holder, inside);
    this.#free++;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#admit(next.holder);
      next.enter();
    }
  }

  #mayEnter(holder: object): boolean {
    return this.#free > 1 || (this.#free === 1 && (this.places === 1 || !this.#inside.has(holder)));
  }

  #admit(holder: object): void {
    this.#inside.set(holder, (this.#inside.get(holder) ?? 0) + 1);
    this.#free--;
  }

  #next(): Waiting | undefined {
    let next: Waiting | undefined;
    for (const each of this.#waiting) {
      if (!this.#mayEnter(each.holder)) continue;
      const count = this.#inside.get(each.holder) ?? 0;
      if (next === undefined || count < (this.#inside.get(next.holder) ?? 0)) next = each;
    }
    return next;
  }

  async #wait(holder: object, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = { holder, enter: resolve };
    this.#waiting.push(waiting);
    const abort = (): void => {
      const place = this.#waiting.indexOf(waiting);
      // A holder that was let in at this moment leaves by itself.
      if (place < 0) return;
      this.#waiting.splice(place, 1);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }
}

let gate: Gate | undefined;

/** The gate of the process, for the threads of its pool: every query of every stream passes through it. */
export function sqlGate(): Gate {
  return (gate ??= new Gate(sqlThreads(poolSize())));
}
