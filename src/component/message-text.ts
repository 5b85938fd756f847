import { isUtf8 } from 'node:buffer';
import type { z } from 'zod';
import type { Batch, Run } from '../message/batch.ts';
import { jsonAt, parseJsonPath, textAt, type JsonPath } from '../message/json-path.ts';
import { extName, metaText, type MetaName, type MetaValue } from '../message/metadata.ts';
import { textOf } from '../message/text.ts';
import {
  checkTemplate,
  Template,
  type Reference,
  type TemplateNames,
  type TemplateValues,
} from './template.ts';

/**
 * The names that `{{…}}` may use of a message, wherever an output fills in something for each message. Times are UTC.
 */
export const messageNames: TemplateNames = {
  date: 'the day on which the message arrived, as 2026-11-30',
  year: 'its year',
  month: 'its month, 01 to 12',
  day: 'its day, 01 to 31',
  hour: 'its hour, 00 to 23',
  minute: 'its minute, 00 to 59',
  source: 'the message’s `__meta_source`',
  key: 'its `__meta_key`',
  partition: 'its `__meta_partition`',
  'meta:': 'an entry of its `__meta_ext`, such as `meta:param.device`',
  'json:': 'its value at a JSON path, such as `json:data.room`',
  payload: 'the message itself, if it is text',
  payload_base64: 'the message itself, in base64',
};

/** Start and end of each part in an ISO time. */
const timePlaces: Readonly<Record<string, readonly [number, number]>> = {
  date: [0, 10],
  year: [0, 4],
  month: [5, 7],
  day: [8, 10],
  hour: [11, 13],
  minute: [14, 16],
};

/** Reports what is wrong with a text over `messageNames`. */
export function checkMessageText(
  text: string,
  context: z.RefinementCtx,
  path: (string | number)[] = [],
): void {
  checkTemplate(text, messageNames, context, path);
  checkJsonPaths(text, messageNames, context, path);
}

/** Reports the first `{{json:…}}` whose path is wrong. `checkTemplate` reports a text that is not a template. */
export function checkJsonPaths(
  text: string,
  names: TemplateNames,
  context: z.RefinementCtx,
  path: (string | number)[] = [],
): void {
  for (const { name, argument = '' } of referencesIn(text, names)) {
    if (name !== 'json' || parseJsonPath(argument) !== undefined) continue;
    const message = `not a JSON path: ${argument}; expected one like id, data.id or items[0].id`;
    return context.addIssue({ code: 'custom', path, message });
  }
}

function referencesIn(text: string, names: TemplateNames) {
  try {
    return Template.parse(text, names).parts.filter((part) => typeof part !== 'string');
  } catch {
    return [];
  }
}

/**
 * A text that is filled in for each message: a path, or a value that a session must have. Made once, from a checked
 * field.
 */
export class MessageText {
  /** The text, if it is the same for every message. */
  readonly constant: string | undefined;
  /** Whether it depends on the time at which a message arrived. */
  readonly byTime: boolean;
  readonly #template: Template;
  /** The only part of the text, if that is a `{{…}}`: its value may be a list. */
  readonly #single: Reference | undefined;
  /** A batch that has one of these columns may have another text for each message. */
  readonly #columns: ReadonlySet<MetaName>;
  /** Whether every batch may have another text for each message. */
  readonly #byMessage: boolean;
  readonly #paths = new Map<string, JsonPath>();

  /** @throws Error that says what is wrong with the text */
  constructor(text: string) {
    this.#template = Template.parse(text, messageNames);
    this.constant = this.#template.constant ? this.#template.render(() => undefined) : undefined;
    const references = referencesIn(text, messageNames);
    this.#single = this.#template.parts.length === 1 ? references[0] : undefined;
    this.byTime = references.some(({ name }) => Object.hasOwn(timePlaces, name));
    this.#byMessage = references.some(
      ({ name, argument }) =>
        name === 'json' || name.startsWith('payload') || (name === 'meta' && argument === 'sequence'),
    );
    const columns = new Set<MetaName>();
    for (const { name, argument = '' } of references) {
      if (name === 'json') this.#paths.set(argument, parseJsonPath(argument)!);
      else if (name === 'meta') columns.add(extName(argument));
      else if (name === 'key' || name === 'partition') columns.add(name);
    }
    this.#columns = columns;
  }

  /** Whether messages of one run of the batch may have several texts. */
  isByMessage(batch: Batch): boolean {
    return this.#byMessage || batch.columns.keys().some((name) => this.#columns.has(name));
  }

  /**
   * The text for the message at `index`, which belongs to `run`. An empty value counts as none. `encode` is applied
   * to each value.
   * @throws Error when a name has neither a value nor a default
   */
  render(batch: Batch, index: number, run: Run, encode: (value: string) => string): string {
    return this.#template.render(
      (name, argument) => this.#value(batch, index, run, name, argument) || undefined,
      encode,
    );
  }

  /** The same, with values not encoded; undefined when a name has neither a value nor a default. */
  tryRender(batch: Batch, index: number, run: Run): string | undefined {
    return this.#template.tryRender((name, argument) => this.#value(batch, index, run, name, argument));
  }

  /**
   * The texts of all messages of the batch: one text if all have the same, otherwise one for each message, undefined for
   * a message that lacks a value.
   */
  texts(batch: Batch): string | (string | undefined)[] {
    if (this.constant !== undefined) return this.constant;
    const { runs, length } = batch;
    const texts: (string | undefined)[] = Array.from({ length });
    const byMessage = this.isByMessage(batch);
    let index = 0;
    let run = runs[0]!;
    // One for all messages.
    const values: TemplateValues = (name, argument) => this.#value(batch, index, run, name, argument);
    for (let at = 0; at < runs.length; at++) {
      run = runs[at]!;
      const end = runs[at + 1]?.start ?? length;
      for (index = run.start; index < end; index++) {
        texts[index] = byMessage || index === run.start ? this.#template.tryRender(values) : texts[run.start];
      }
    }
    return texts;
  }

  /**
   * As `tryRender`, but if the text is a single `{{…}}` whose value is a list, the strings, numbers and booleans of
   * the list.
   */
  values(batch: Batch, index: number, run: Run): string | readonly string[] | undefined {
    if (this.#single !== undefined) {
      const { name, argument = '' } = this.#single;
      if (name === 'meta') {
        const value = batch.extAt(index, argument, run);
        if (typeof value === 'object') return value;
      } else if (name === 'json') {
        const payload = batch.payloads[index]!;
        const path = this.#paths.get(argument)!;
        const value = textAt(payload, path) ?? listAt(payload, path);
        if (value !== undefined) return value;
      }
    }
    return this.tryRender(batch, index, run);
  }

  #value(batch: Batch, index: number, run: Run, name: string, argument = ''): string | undefined {
    if (name === 'json') return textAt(batch.payloads[index]!, this.#paths.get(argument)!);
    if (name === 'payload') return wholeText(batch.payloads[index]!);
    if (name === 'payload_base64') return bufferOf(batch.payloads[index]!).toString('base64');
    if (Object.hasOwn(timePlaces, name)) {
      return new Date(run.time / 1000).toISOString().slice(...timePlaces[name]!);
    }
    let value: MetaValue | undefined;
    if (name === 'source') value = run.origin.source;
    else if (name === 'meta') value = batch.extAt(index, argument, run);
    else if (name === 'key' || name === 'partition') value = batch.metaAt(index, name);
    return value === undefined ? undefined : metaText(value);
  }
}

/** Undefined if the bytes are not UTF-8. */
function wholeText(payload: Uint8Array): string | undefined {
  return isUtf8(payload) ? textOf(payload) : undefined;
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

/** The strings, numbers and booleans of the list at `path`; numbers keep their digits. Undefined if there is no list. */
function listAt(payload: Uint8Array, path: JsonPath): string[] | undefined {
  const json = jsonAt(payload, path);
  if (json?.startsWith('[') !== true) return undefined;
  const list = JSON.parse(json, exactly as (key: string, value: unknown) => unknown) as unknown[];
  return list.filter((each) => typeof each === 'string' || typeof each === 'boolean').map(String);
}

function exactly(_: string, value: unknown, { source }: { source?: string }): unknown {
  return typeof value === 'number' ? source : value;
}
