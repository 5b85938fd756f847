import { Template, type TemplateNames } from '../../../component/template.ts';
import type { Batch, Run } from '../../../message/batch.ts';
import { parseJsonPath, textAt, type JsonPath } from '../../../message/json-path.ts';

/** What `{{…}}` may name in the values of `match`. */
export const matchNames: TemplateNames = {
  'meta:': 'an entry of the message’s `__meta_ext`, such as `meta:param.room`',
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
  /** True while the value is the same for all messages of a run. */
  readonly #byRun: boolean;
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
  }

  /** The value for the message at `index` of the batch, which `run` belongs to; undefined when there is none. */
  valueFor(batch: Batch, index: number, run: Run): string | undefined {
    if (this.#byRun && run === this.#run) return this.#value;
    this.#run = run;
    this.#value = this.#template.tryRender((name, argument = '') => {
      if (name === 'json') return textAt(batch.payloads[index]!, this.#paths.get(argument)!);
      if (argument === 'message_type' && run.messageType !== undefined) return run.messageType;
      if (argument === 'sequence' && run.sequence !== undefined)
        return String(run.sequence + index - run.start);
      const { ext } = run.origin;
      return Object.hasOwn(ext, argument) ? ext[argument] : undefined;
    });
    return this.#value;
  }
}

/** How many values a query parameter may hold; each costs memory for as long as the session is open. */
const MAX_VALUES = 100;

/** The values that a session has in an entry: several only where it is a query parameter. */
export function valuesOf(ext: Readonly<Record<string, string>>, entry: string): readonly string[] {
  const value = Object.hasOwn(ext, entry) ? ext[entry] : undefined;
  if (value === undefined) return [];
  return entry.startsWith('query.') && value.includes(',') ? value.split(',', MAX_VALUES) : [value];
}
