import { baseErrors, MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { JsonWriter } from '../message/json-writer.ts';
import { extEntry, metaText, type Ext, type ExtValue } from '../message/metadata.ts';
import { valueWriter } from '../message/rows-json.ts';
import type { BytesValues, RowColumn, Values } from '../message/rows.ts';
import { metadataValues } from './metadata-values.ts';

/** Returns the entries of a row; undefined if they are unchanged those of its message. */
export type ReadExt = (row: number) => Ext | undefined;

/** An entry of a row that is text, as what it was in the batch: a list, a number, or the text. */
type Restore = (name: string, text: string, row: number) => ExtValue;

/**
 * Reads `__meta_ext` of a result, whose rows were made of `source`: each of the message of its number, if `numbers` are
 * given. An entry that is a list or a number there, and comes back as its text, becomes a list or number again.
 */
export function extReader(
  { type, values }: RowColumn,
  source: Batch,
  numbers: readonly number[] | undefined,
): ReadExt {
  const restore = numbers === undefined ? byTypes(source) : byMessages(source, numbers);
  const unchanged = numbers === undefined ? undefined : comparer(values, source);
  const write = valueWriter(type, values);
  const json = new JsonWriter(256);
  let before: { text: string; ext: Ext } | undefined;
  return (row) => {
    if (unchanged?.(row, numbers![row]!) === true) return undefined;
    json.clear();
    write(row, json);
    const text = json.written.toString();
    // With numbers, an equal text may have been something else in another message.
    if (before?.text !== text || numbers !== undefined) {
      const entry = (name: string, value: string): ExtValue => restore(name, value, row);
      before = { text, ext: text === 'null' ? {} : readExt(text, entry) };
    }
    return before.ext;
  };
}

function byMessages(source: Batch, numbers: readonly number[]): Restore {
  return (name, text, row) => {
    const own = source.extAt(numbers[row]!, name);
    return own !== undefined && typeof own !== 'string' && metaText(own) === text ? own : text;
  };
}

function byTypes(source: Batch): Restore {
  const types = typesOf(source);
  return (name, text) => {
    const was = types.get(name);
    if (was === 'number' && String(Number(text)) === text) return Number(text);
    if (was !== 'list' || !text.startsWith('[')) return text;
    const list = JSON.parse(text) as unknown;
    return Array.isArray(list) && list.every((each) => typeof each === 'string') ? list : text;
  };
}

/** Tells whether a row has the same entries as a message; undefined if that cannot be told without reading them. */
function comparer(values: Values, source: Batch): ((row: number, index: number) => boolean) | undefined {
  const isByMessage = [...source.columns.keys()].some((name) => extEntry(name) !== undefined);
  if (isByMessage || values.storage !== 'list' || values.items.length < 2) return undefined;
  const own = metadataValues(source, '__meta_ext');
  if (own.storage !== 'list') return undefined;
  const [names, texts] = values.items;
  const [ownNames, ownTexts] = own.items as readonly BytesValues[];
  if (names?.storage !== 'bytes' || texts?.storage !== 'bytes' || texts.valid !== undefined) return undefined;
  return (row, index) => {
    if (values.valid?.[row] === 0) return false;
    const [start, end] = [values.offsets[row]!, values.offsets[row + 1]!];
    const ownStart = own.offsets[index]!;
    if (own.offsets[index + 1]! - ownStart !== end - start) return false;
    for (let item = start; item < end; item++) {
      const other = ownStart + item - start;
      if (!isSame(names, item, ownNames!, other) || !isSame(texts, item, ownTexts!, other)) return false;
    }
    return true;
  };
}

function isSame(one: BytesValues, at: number, other: BytesValues, place: number): boolean {
  const start = one.offsets[at]!;
  const length = one.offsets[at + 1]! - start;
  const from = other.offsets[place]!;
  if (other.offsets[place + 1]! - from !== length) return false;
  for (let byte = 0; byte < length; byte++)
    if (one.data[start + byte] !== other.data[from + byte]) return false;
  return true;
}

/** The names of entries that are lists or numbers in a batch. */
function typesOf({ runs, columns: byMessage }: Batch): ReadonlyMap<string, 'list' | 'number'> {
  const types = new Map<string, 'list' | 'number'>();
  const add = (name: string, value: ExtValue | bigint | undefined): void => {
    if (typeof value === 'object') types.set(name, 'list');
    else if (typeof value === 'number') types.set(name, 'number');
  };
  for (const origin of new Set(runs.map((run) => run.origin))) {
    for (const [name, value] of Object.entries(origin.ext)) add(name, value);
  }
  for (const [name, column] of byMessage) {
    const entry = extEntry(name);
    if (entry === undefined) continue;
    if (column instanceof Float64Array) types.set(entry, 'number');
    else for (const value of column) add(entry, value);
  }
  return types;
}

/** Matches JSON that may have a number: checking each value is slow. */
const NUMBER = /[:[,]-?\d/;

function readExt(text: string, restore: (name: string, text: string) => ExtValue): Ext {
  const value = (
    NUMBER.test(text)
      ? JSON.parse(text, exactly as (key: string, value: unknown) => unknown)
      : JSON.parse(text)
  ) as unknown;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const message = `\`__meta_ext\` is ${text.slice(0, 100)}; expected a map, or a struct`;
    throw new MillraceError(baseErrors.MILLRACE_PROCESSOR_FAILED, message);
  }
  const entries = Object.entries(value).filter(([, each]) => each !== null);
  return Object.fromEntries(
    entries.map(([name, each]) => [name, typeof each === 'string' ? restore(name, each) : extValue(each)]),
  );
}

/** A number keeps its written form if JavaScript would change its digits. */
function exactly(_: string, value: unknown, { source }: { source?: string }): unknown {
  return typeof value === 'number' && String(value) !== source ? source : value;
}

function extValue(value: unknown): ExtValue {
  if (Array.isArray(value))
    return value.map((each) => (typeof each === 'string' ? each : JSON.stringify(each)));
  return typeof value === 'number' ? value : JSON.stringify(value);
}
