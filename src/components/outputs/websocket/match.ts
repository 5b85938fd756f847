import { columnsIn, metadataNames, metadataValue } from '../../../component/metadata-template.ts';
import { Template, type TemplateNames } from '../../../component/template.ts';
import type { Batch, Run } from '../../../message/batch.ts';
import { parseJsonPath, textAt, type JsonPath } from '../../../message/json-path.ts';
import { metaText, type Ext, type MetaName } from '../../../message/metadata.ts';

/** What `{{…}}` may name in the values of `match`. */
export const matchNames: TemplateNames = {
  ...metadataNames,
  'json:': 'what is at a JSON path of the message, such as `json:data.room`',
};

/** The first `{{json:…}}` whose path is none. Texts that are no templates are somebody else's mistake. */
export function findBadPath(text: string): string | undefined {
  let bad: string | undefined;
  try {
    Template.parse(text, matchNames).render((name, argument = '') => {
      if (name === 'json' && parseJsonPath(argument) === undefined) bad ??= argument;
      return '';
    });
  } catch {
    // `checkTemplate` tells.
  }
  return bad;
}

/** What sessions must have in one entry to get a message. */
export class Wanted {
  /** The entry of a session's `__meta_ext`. */
  readonly entry: string;
  readonly #template: Template;
  /** The value is the same for all messages of a run, unless the batch has one of these columns. */
  readonly #byRun: boolean;
  readonly #columns: ReadonlySet<MetaName>;
  readonly #paths = new Map<string, JsonPath>();
  #run: Run | undefined;
  #value: string | undefined;

  constructor(entry: string, text: string) {
    this.entry = entry;
    this.#template = Template.parse(text, matchNames);
    let byRun = true;
    this.#template.render((name, argument = '') => {
      if (name === 'json') this.#paths.set(argument, parseJsonPath(argument)!);
      if (name === 'json' || argument === 'sequence') byRun = false;
      return '';
    });
    this.#byRun = byRun;
    this.#columns = columnsIn(this.#template);
  }

  /** The value for the message at `index` of the batch, which `run` belongs to; undefined when there is none. */
  valueFor(batch: Batch, index: number, run: Run): string | undefined {
    if (run === this.#run) return this.#value;
    const byRun = this.#byRun && !batch.columns.keys().some((name) => this.#columns.has(name));
    this.#run = byRun ? run : undefined;
    this.#value = this.#template.tryRender((name, argument = '') => {
      if (name === 'json') return textAt(batch.payloads[index]!, this.#paths.get(argument)!);
      return metadataValue(batch, index, run, name, argument);
    });
    return this.#value;
  }
}

/** How many values an entry may hold; each costs memory for as long as the session is open. */
const MAX_VALUES = 100;

/** The values that a session has in an entry: several where it is a list, or a query parameter. */
export function valuesOf(ext: Ext, entry: string): readonly string[] {
  const found = Object.hasOwn(ext, entry) ? ext[entry] : undefined;
  if (found === undefined) return [];
  if (typeof found === 'object') return found.slice(0, MAX_VALUES);
  const value = metaText(found);
  return entry.startsWith('query.') && value.includes(',') ? value.split(',', MAX_VALUES) : [value];
}
