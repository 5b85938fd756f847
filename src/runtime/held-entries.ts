import type { Checkpoints, KeptState } from '../component/context.ts';
import type { Log } from '../delivery/log/log.ts';
import { Contiguous } from '../delivery/contiguous.ts';

/** Of the size that a log may have, the share from which checkpoints should not wait. */
const FULL = 1 / 2;

/**
 * Entries that have been delivered, and that the log keeps all the same until the state of a processor has them: after a
 * crash, they are needed to make the state again.
 */
export class HeldEntries implements Checkpoints {
  readonly #log: Log;
  readonly #maxBytes: number;
  readonly #delivered: Contiguous;
  /** The first entry that the log keeps. */
  #next: number;
  /** The last entry that the state has, and the last one that it has on the disk. */
  #changed = 0;
  #released = 0;
  #waiting: { readonly entry: number; readonly resolve: (isDelivered: boolean) => void }[] = [];

  private constructor(log: Log, maxBytes: number) {
    this.#log = log;
    this.#maxBytes = maxBytes;
    const { first, last } = log.recovered;
    this.#next = first;
    this.#delivered = new Contiguous(first);
    for (let entry = first; entry <= last; entry++) if (!log.has(entry)) this.#delivered.add(entry);
  }

  /** Restores the state; the entries that it has are done. @throws Error if the state cannot be restored */
  static async restore(log: Log, state: KeptState, maxBytes: number): Promise<HeldEntries> {
    const held = new HeldEntries(log, maxBytes);
    const restored = await state.restore(held, log.id);
    const last = Math.min(restored, log.recovered.last);
    for (let entry = log.recovered.first; entry <= last; entry++) held.#delivered.add(entry);
    held.changes(last);
    held.release(last);
    return held;
  }

  get isPressed(): boolean {
    return this.#log.bytes > this.#maxBytes * FULL;
  }

  changes(entry: number): void {
    this.#changed = entry;
  }

  /** An entry has been delivered. */
  add(entry: number): void {
    this.#delivered.add(entry);
    const { first } = this.#delivered;
    this.#forget();
    if (this.#waiting.every((each) => each.entry >= first)) return;
    for (const { entry: last, resolve } of this.#waiting) if (last < first) resolve(true);
    this.#waiting = this.#waiting.filter((each) => each.entry >= first);
  }

  has(entry: number): boolean {
    return this.#delivered.has(entry);
  }

  whenDelivered(entry: number): Promise<boolean> {
    if (entry < this.#delivered.first) return Promise.resolve(true);
    return new Promise((resolve) => this.#waiting.push({ entry, resolve }));
  }

  release(entry: number): void {
    this.#released = entry;
    this.#forget();
  }

  #forget(): void {
    // Entries that came after the last one of the state, and did not reach it, are not in question.
    const last = this.#changed > this.#released ? this.#released : this.#delivered.first - 1;
    for (; this.#next <= last; this.#next++) this.#log.ack(this.#next);
  }

  /** Nothing more will be delivered. */
  close(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve(false);
  }
}
