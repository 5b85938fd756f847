import type { Batch } from '../message/batch.ts';
import { metaText, type Ext } from '../message/metadata.ts';
import { fold } from './database.ts';

/** A metadata column of the table. */
interface MetadataColumn {
  readonly name: string;
  /** Its key in the JSON that carries it into the database and out of it. */
  readonly key: string;
  /** Its type in that JSON. */
  readonly json: string;
  /** The SQL that reads the column from `value`, its form in JSON. */
  readonly read: (value: string) => string;
}

const asIs = (value: string): string => value;
const time = (value: string): string => `make_timestamptz(${value})`;

/**
 * In JSON each is text or a number, so that a value can be compared with the one before it. `__meta_ext` has texts: the
 * text of a list is its JSON.
 */
const columns: readonly MetadataColumn[] = [
  { name: '__meta_source', key: 's', json: 'VARCHAR', read: asIs },
  { name: '__meta_ingest_time', key: 't', json: 'BIGINT', read: time },
  { name: '__meta_key', key: 'k', json: 'VARCHAR', read: asIs },
  { name: '__meta_partition', key: 'p', json: 'BIGINT', read: asIs },
  { name: '__meta_offset', key: 'o', json: 'BIGINT', read: asIs },
  { name: '__meta_event_time', key: 'w', json: 'BIGINT', read: time },
  { name: '__meta_ext', key: 'e', json: 'MAP(VARCHAR,VARCHAR)', read: asIs },
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
