import type { Batch } from '../../../message/batch.ts';
import { metaText, type MetaValue } from '../../../message/metadata.ts';

/** Values that the metadata of a message must have, by name. */
export type MatchConfig = Readonly<Record<string, string | readonly string[]>>;

/** Whether messages have the metadata that a case asks for. */
export class Match {
  readonly #wanted: readonly { readonly name: string; readonly values: ReadonlySet<string> }[];

  constructor(config: MatchConfig) {
    this.#wanted = Object.entries(config).map(([name, values]) => ({
      name,
      values: new Set(typeof values === 'string' ? [values] : values),
    }));
  }

  /** Marks the messages that match with `bit`. Messages of one run differ only in columns. */
  mark(batch: Batch, marks: Uint32Array, bit: number): void {
    const { runs, length } = batch;
    const byMessage = batch.columns.size > 0;
    for (const [at, run] of runs.entries()) {
      const end = runs[at + 1]?.start ?? length;
      let isMatch = !byMessage && this.#fits(batch, run.start);
      for (let index = run.start; index < end; index++) {
        if (byMessage) isMatch = this.#fits(batch, index);
        if (isMatch) marks[index]! |= bit;
      }
    }
  }

  #fits(batch: Batch, index: number): boolean {
    return this.#wanted.every(({ name, values }) => {
      const value = valueOf(batch, index, name);
      if (value === undefined) return false;
      return typeof value === 'object' ? value.some((each) => values.has(each)) : values.has(metaText(value));
    });
  }
}

function valueOf(batch: Batch, index: number, name: string): MetaValue | undefined {
  if (name === '__meta_source') return batch.runAt(index).origin.source;
  if (name === '__meta_key') return batch.metaAt(index, 'key');
  return batch.extAt(index, name);
}
