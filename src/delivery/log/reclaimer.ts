import type { Contiguous } from '../contiguous.ts';
import { recordTypes } from './format.ts';
import { encodeReclaimed, type RememberedKeys } from './remembered-keys.ts';
import { onShortage } from './segment.ts';
import type { Store } from './store.ts';

/** Deletes fully acknowledged segments, after writing again those of their keys that still count. */
export class Reclaimer {
  readonly #store: Store;
  readonly #acknowledged: Contiguous;
  readonly #keys: RememberedKeys;
  /** Forgotten segments, and the keys that were in them, could not be recorded yet. */
  #owed = false;

  constructor(store: Store, acknowledged: Contiguous, keys: RememberedKeys) {
    this.#store = store;
    this.#acknowledged = acknowledged;
    this.#keys = keys;
  }

  /** True when a segment can be deleted. */
  get due(): boolean {
    return this.#last() !== undefined;
  }

  async reclaim(): Promise<void> {
    const last = this.#last();
    if (last === undefined) return;
    this.#store.forget(last + 1);
    this.#owed = true;
    try {
      await this.writeOwed();
      await this.#store.sync();
    } catch (error) {
      onShortage(error);
      // Freeing space must not need space.
      await this.#store.syncMark();
    }
    await this.#store.deleteForgotten();
  }

  /** Deletes everything, for a disk so full that nothing can be written first. All must be acknowledged. */
  async deleteAll(): Promise<void> {
    this.#owed = true;
    await this.#store.deleteAll();
  }

  /** Writes the record that could not be written when segments were forgotten. @throws ShortageError */
  async writeOwed(): Promise<void> {
    if (!this.#owed) return;
    const { oldest } = this.#store;
    const carried = this.#keys.carry(oldest - 1, Date.now());
    await this.#store.write([
      { type: recordTypes.reclaimed, record: encodeReclaimed(oldest, carried.groups) },
    ]);
    carried.moved(this.#store.active!);
    this.#owed = false;
  }

  /** The last finished segment up to which all entries are acknowledged. */
  #last(): number | undefined {
    let last: number | undefined;
    for (const { number, lastEntry } of this.#store.segments) {
      if (number === this.#store.active || lastEntry >= this.#acknowledged.first) break;
      last = number;
    }
    return last;
  }
}
