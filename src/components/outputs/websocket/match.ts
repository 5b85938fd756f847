import { MessageText } from '../../../component/message-text.ts';
import type { Batch, Run } from '../../../message/batch.ts';
import { metaText, type Ext } from '../../../message/metadata.ts';

/** The value that sessions must have in one entry to get a message, or a list of which they must have one. */
export class Wanted {
  /** The entry of a session's `__meta_ext`. */
  readonly entry: string;
  readonly #text: MessageText;
  #run: Run | undefined;
  #value: string | readonly string[] | undefined;

  constructor(entry: string, text: string) {
    this.entry = entry;
    this.#text = new MessageText(text);
  }

  /** The values for the message at `index` of the batch, which belongs to `run`; undefined if it has none. */
  valuesFor(batch: Batch, index: number, run: Run): string | readonly string[] | undefined {
    if (run === this.#run) return this.#value;
    this.#run = this.#text.isByMessage(batch) ? undefined : run;
    this.#value = this.#text.values(batch, index, run);
    return this.#value;
  }
}

/** The most values that an entry may hold; each costs memory for as long as the session is open. */
const MAX_VALUES = 100;

/** The values that a session has in an entry: several if it is a list, or a query parameter. */
export function valuesOf(ext: Ext, entry: string): readonly string[] {
  const found = Object.hasOwn(ext, entry) ? ext[entry] : undefined;
  if (found === undefined) return [];
  if (typeof found === 'object') return found.slice(0, MAX_VALUES);
  const value = metaText(found);
  return entry.startsWith('query.') && value.includes(',') ? value.split(',', MAX_VALUES) : [value];
}
