import { baseErrors, MillraceError } from '../errors.ts';
import type { Batch, Origin, Run } from '../message/batch.ts';
import {
  extEntry,
  metaText,
  NO_OFFSET,
  type Ext,
  type ExtValue,
  type MetaColumn,
  type MetaName,
} from '../message/metadata.ts';
import { fold, identifier } from './database.ts';

/** A metadata column of the table. */
interface MetadataColumn {
  readonly name: string;
  /** Its key in the JSON that carries it into the database and out of it. */
  readonly key: string;
  /** Its type in that JSON. */
  readonly json: string;
  /** The SQL that reads the column from `value`, its form in JSON. */
  readonly read: (value: string) => string;
  /** The reverse, for a column of a query's result. */
  readonly lift: (column: string) => string;
}

const asIs = (value: string): string => value;
const time = (value: string): string => `make_timestamp(${value})`;
const micros = (column: string): string => `epoch_us(CAST(${column} AS TIMESTAMP))`;
const cast =
  (type: string) =>
  (column: string): string =>
    `CAST(${column} AS ${type})`;

/**
 * In JSON each is text or a number, so that a value can be compared with the one before it. `__meta_ext` has texts: the
 * text of a list is its JSON. An `__meta_ext` that a query returns may have values of other types.
 */
const columns: readonly MetadataColumn[] = [
  { name: '__meta_source', key: 's', json: 'VARCHAR', read: asIs, lift: cast('VARCHAR') },
  { name: '__meta_ingest_time', key: 't', json: 'BIGINT', read: time, lift: micros },
  { name: '__meta_key', key: 'k', json: 'VARCHAR', read: asIs, lift: cast('VARCHAR') },
  { name: '__meta_partition', key: 'p', json: 'BIGINT', read: asIs, lift: cast('BIGINT') },
  {
    name: '__meta_offset',
    key: 'o',
    json: 'BIGINT',
    read: asIs,
    lift: (column) => `CAST(CAST(${column} AS BIGINT) AS VARCHAR)`,
  },
  { name: '__meta_event_time', key: 'w', json: 'BIGINT', read: time, lift: micros },
  {
    name: '__meta_ext',
    key: 'e',
    json: 'MAP(VARCHAR,VARCHAR)',
    read: asIs,
    lift: (column) => `CAST(to_json(${column}) AS VARCHAR)`,
  },
];

/** The names of the metadata columns, folded. */
export const META: readonly string[] = columns.map(({ name }) => name);

/** The structure of the JSON of a message's metadata, as `from_json` takes it. */
export const metadataStructure: Readonly<Record<string, string>> = Object.fromEntries(
  columns.map(({ key, json }) => [key, json]),
);

/** The metadata columns, selected from a value of that structure. */
export function metadataColumns(value: string): string[] {
  return columns.map(({ name, key, read }) => `${read(`${value}.${key}`)} AS ${name}`);
}

/**
 * The metadata column that a column of a query's result stands for. If `*` adds a second one, DuckDB names it with a
 * number.
 */
export function metadataColumn(name: string): string | undefined {
  const folded = fold(name);
  return META.find(
    (meta) =>
      folded === meta || (folded.startsWith(`${meta}_`) && /^\d+$/.test(folded.slice(meta.length + 1))),
  );
}

/**
 * The metadata of a row as one struct, from the columns of the query's result; undefined if none of them is metadata.
 */
export function liftMetadata(names: readonly string[]): string | undefined {
  // Of two, the last counts: the one written after `*`.
  const found = new Map(
    names.flatMap((name) => {
      const meta = metadataColumn(name);
      return meta === undefined ? [] : [[meta, name] as const];
    }),
  );
  const fields = columns.flatMap(({ name, key, lift }) => {
    const column = found.get(name);
    return column === undefined ? [] : [`${key} := ${lift(identifier(column))}`];
  });
  return fields.length === 0 ? undefined : `struct_pack(${fields.join(', ')})`;
}

/** Each message's metadata as JSON of `metadataStructure`. */
export function metadataTexts(batch: Batch): string[] {
  const texts: string[] = [];
  const byMessage = batch.columns.size > 0;
  for (const [at, run] of batch.runs.entries()) {
    const { source, ext } = run.origin;
    const shared = { ...ext, ...(run.messageType !== undefined && { message_type: run.messageType }) };
    const before = `{"s":${JSON.stringify(source)},"t":${run.time}`;
    const entries = JSON.stringify(textsOf(shared)).slice(0, -1);
    const comma = entries.endsWith('{') ? '' : ',';
    const end = batch.runs[at + 1]?.start ?? batch.length;
    for (let index = run.start; index < end; index++) {
      if (byMessage) {
        texts.push(
          `${before}${ownText(batch, index)},"e":${JSON.stringify(textsOf(batch.metadata(index).ext))}}`,
        );
        continue;
      }
      const number = run.sequence === undefined ? '' : `${comma}"sequence":"${batch.sequenceAt(index, run)}"`;
      texts.push(`${before},"e":${entries}${number}}}`);
    }
  }
  return texts;
}

function ownText(batch: Batch, index: number): string {
  const [key, partition] = [batch.metaAt(index, 'key'), batch.metaAt(index, 'partition')];
  const [offset, eventTime] = [batch.metaAt(index, 'offset'), batch.metaAt(index, 'event_time')];
  let text = '';
  if (key !== undefined) text += `,"k":${JSON.stringify(key)}`;
  if (partition !== undefined) text += `,"p":${partition}`;
  if (offset !== undefined) text += `,"o":${offset}`;
  if (eventTime !== undefined) text += `,"w":${eventTime}`;
  return text;
}

function textsOf(ext: Ext): Record<string, string> {
  return Object.fromEntries(Object.entries(ext).map(([name, value]) => [name, metaText(value)]));
}

/** A row's metadata, as far as the query returns it. */
interface Lifted {
  readonly s?: string | null;
  readonly t?: number | null;
  readonly k?: string | null;
  readonly p?: number | null;
  readonly o?: string | null;
  readonly w?: number | null;
  readonly e?: string | null;
}

/**
 * `made`, with the metadata that the query gives its rows: a struct of `liftMetadata` for each, as JSON. Other metadata
 * stays as it is. `source` is the batch from which the rows were made: an entry that is a list or a number there, and
 * comes back as its text, becomes a list or number again.
 * @throws MillraceError MILLRACE_PROCESSOR_FAILED for an `__meta_ext` that is not a map
 */
export function withLifted(made: Batch, lifted: readonly string[], source: Batch): Batch {
  const rows = lifted.map((line) => JSON.parse(line) as Lifted);
  const [first] = rows;
  if (first === undefined) return made;
  let batch = made;
  if ('s' in first || 't' in first || 'e' in first)
    batch = batch.withRuns(liftedRuns(made, rows, typesOf(source)));
  if ('e' in first) {
    for (const name of batch.columns.keys())
      if (extEntry(name) !== undefined) batch = batch.withMeta(name, undefined);
  }
  const set = <N extends MetaName>(name: N, key: keyof Lifted, column: () => MetaColumn<N>): void => {
    if (key in first)
      batch = batch.withMeta(name, rows.some((row) => row[key] !== null) ? column() : undefined);
  };
  set('key', 'k', () => rows.map(({ k }) => k ?? undefined));
  set('partition', 'p', () => Float64Array.from(rows, ({ p }) => p ?? Number.NaN));
  set('offset', 'o', () =>
    BigInt64Array.from(rows, ({ o }) => (typeof o === 'string' ? BigInt(o) : NO_OFFSET)),
  );
  set('event_time', 'w', () => Float64Array.from(rows, ({ w }) => w ?? Number.NaN));
  return batch;
}

function liftedRuns(
  made: Batch,
  rows: readonly Lifted[],
  types: ReadonlyMap<string, 'list' | 'number'>,
): Run[] {
  const runs: Run[] = [];
  let before: { s: unknown; t: unknown; e: unknown; base: Run; origin: Origin } | undefined;
  for (const [start, { s, t, e }] of rows.entries()) {
    const base = made.runAt(start);
    const isSame = before !== undefined && before.s === s && before.e === e && before.base === base;
    // Neighbours with the same metadata are one run.
    if (isSame && before!.t === t) continue;
    const source = s ?? base.origin.source;
    const ext = e === undefined ? base.origin.ext : e === null ? {} : readExt(e, types);
    const origin = isSame ? before!.origin : { source, ext };
    const { messageType } = base;
    const more = e === undefined ? { sequence: made.sequenceAt(start, base), messageType } : {};
    runs.push({ start, origin, time: t ?? base.time, ...more });
    before = { s, t, e, base, origin };
  }
  return runs;
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

function readExt(text: string, types: ReadonlyMap<string, 'list' | 'number'>): Ext {
  const value = (
    NUMBER.test(text)
      ? JSON.parse(text, exactly as (key: string, value: unknown) => unknown)
      : JSON.parse(text)
  ) as unknown;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const message = `\`__meta_ext\` is ${text.slice(0, 100)}; expected a map, or a struct`;
    throw new MillraceError(baseErrors.MILLRACE_PROCESSOR_FAILED, message);
  }
  // Most often the value is unchanged.
  if (types.size === 0 && Object.values(value).every((each) => typeof each === 'string')) return value as Ext;
  const entries = Object.entries(value).filter(([, each]) => each !== null);
  return Object.fromEntries(entries.map(([name, each]) => [name, extValue(each, types.get(name))]));
}

/** A number keeps its written form if JavaScript would change its digits. */
function exactly(_: string, value: unknown, { source }: { source?: string }): unknown {
  return typeof value === 'number' && String(value) !== source ? source : value;
}

function extValue(value: unknown, was: 'list' | 'number' | undefined): ExtValue {
  if (Array.isArray(value))
    return value.map((each) => (typeof each === 'string' ? each : JSON.stringify(each)));
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return JSON.stringify(value);
  if (was === 'number' && String(Number(value)) === value) return Number(value);
  if (was !== 'list' || !value.startsWith('[')) return value;
  const list = JSON.parse(value) as unknown;
  return Array.isArray(list) && list.every((each) => typeof each === 'string') ? list : value;
}
