import type { Batch, Origin, Run } from '../message/batch.ts';
import { extEntry, NO_OFFSET, type Ext, type MetaColumn, type MetaName } from '../message/metadata.ts';
import { valueReader } from '../message/row-values.ts';
import type { ColumnType, RowColumn, Rows } from '../message/rows.ts';
import { identifier } from './database.ts';
import { metadataColumn } from './metadata.ts';
import { extReader, type ReadExt } from './lifted-ext.ts';
import { metadataFields } from './metadata-values.ts';

// Metadata that a query gives its rows: columns of its result with the names of metadata.

/** A column of the query's result. Its type is undefined if rows cannot have it. */
export interface ResultColumn {
  readonly name: string;
  readonly type: ColumnType | undefined;
}

/** A column of the result that is metadata: its name, its type, and the SQL that selects it. */
export interface LiftedColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly select: string;
}

/** The types that SQL casts them to. `__meta_ext` may be of any type that is a map. */
const TYPES: Readonly<Record<string, string>> = {
  __meta_source: 'VARCHAR',
  __meta_ingest_time: 'TIMESTAMPTZ',
  __meta_key: 'VARCHAR',
  __meta_partition: 'BIGINT',
  __meta_offset: 'BIGINT',
  __meta_event_time: 'TIMESTAMPTZ',
};

/** The columns of the query's result that are metadata. Of two, the last counts: the one written after `*`. */
export function liftedColumns(columns: readonly ResultColumn[]): LiftedColumn[] {
  return metadataFields.flatMap(({ name, type }) => {
    const column = columns.findLast((each) => metadataColumn(each.name) === name);
    if (column === undefined) return [];
    const value = identifier(column.name);
    const cast = TYPES[name] ?? (column.type === undefined ? 'JSON' : undefined);
    const own = TYPES[name] === undefined ? (column.type ?? { kind: 'json' as const }) : type;
    return [{ name, type: own, select: cast === undefined ? value : `CAST(${value} AS ${cast})` }];
  });
}

/**
 * `made`, with the metadata of its rows that the query gives. Other metadata stays as it is. `source` is the batch from
 * which the rows were made, and `numbers` the message of each, if it is one: an `__meta_ext` that comes back unchanged
 * stays what it is. Elsewhere, an entry that is a list or a number there, and comes back as its text, becomes a list or
 * number again.
 * @throws MillraceError MILLRACE_PROCESSOR_FAILED for an `__meta_ext` that is not a map
 */
export function withLifted(
  made: Batch,
  lifted: Rows,
  source: Batch,
  numbers: readonly number[] | undefined,
): Batch {
  const column = (name: string): RowColumn | undefined => lifted.columns.find((each) => each.name === name);
  const [sources, times, exts] = ['__meta_source', '__meta_ingest_time', '__meta_ext'].map(column);
  let batch = made;
  if (sources !== undefined || times !== undefined || exts !== undefined) {
    const read = {
      source: sources && textReader(sources),
      time: times && timeReader(times),
      ext: exts && extReader(exts, source, numbers),
    };
    batch = batch.withRuns(liftedRuns(made, read, source, numbers));
  }
  if (exts !== undefined)
    for (const name of batch.columns.keys())
      if (extEntry(name) !== undefined) batch = batch.withMeta(name, undefined);
  const set = <N extends MetaName>(
    name: N,
    from: RowColumn | undefined,
    make: (from: RowColumn) => MetaColumn<N>,
  ): void => {
    if (from === undefined) return;
    const { valid } = from.values;
    batch = batch.withMeta(name, valid === undefined || valid.includes(1) ? make(from) : undefined);
  };
  const rows = Array.from({ length: lifted.length }, (_, row) => row);
  set('key', column('__meta_key'), (from) => {
    const read = valueReader(from);
    return rows.map((row) => (read(row) as string | null) ?? undefined);
  });
  set('partition', column('__meta_partition'), (from) => {
    const read = valueReader(from);
    return Float64Array.from(rows, (row) => Number(read(row) ?? Number.NaN));
  });
  set('offset', column('__meta_offset'), (from) => {
    const read = valueReader(from);
    return BigInt64Array.from(rows, (row) => (read(row) as bigint | null) ?? NO_OFFSET);
  });
  set('event_time', column('__meta_event_time'), (from) => {
    const read = timeReader(from);
    return Float64Array.from(rows, (row) => read(row) ?? Number.NaN);
  });
  return batch;
}

interface Readers {
  readonly source: ((row: number) => string | undefined) | undefined;
  readonly time: ((row: number) => number | undefined) | undefined;
  readonly ext: ReadExt | undefined;
}

/** Neighbours with the same metadata are one run. */
function liftedRuns(
  made: Batch,
  read: Readers,
  source: Batch,
  numbers: readonly number[] | undefined,
): Run[] {
  const runs: Run[] = [];
  let last: Run | undefined;
  for (let row = 0; row < made.length; row++) {
    let base = made.runAt(row);
    let sequence = made.sequenceAt(row, base);
    let ext: Ext | undefined;
    const text = read.source?.(row) ?? base.origin.source;
    const time = read.time?.(row) ?? base.time;
    if (read.ext !== undefined) {
      ext = read.ext(row);
      if (ext === undefined) {
        base = source.runAt(numbers![row]!);
        sequence = source.sequenceAt(numbers![row]!, base);
      }
    }
    const messageType = ext === undefined ? base.messageType : undefined;
    if (ext !== undefined) sequence = undefined;
    const entries = ext ?? base.origin.ext;
    const isSame =
      last?.time === time &&
      last.origin.source === text &&
      last.origin.ext === entries &&
      last.messageType === messageType &&
      made.sequenceAt(row, last) === sequence;
    if (isSame) continue;
    last = {
      start: row,
      origin: originOf(text, entries, last?.origin ?? base.origin),
      time,
      sequence,
      messageType,
    };
    runs.push(last);
  }
  return runs;
}

/** The origin with this source and these entries: the known one if it has them. */
function originOf(source: string, ext: Ext, known: Origin): Origin {
  return known.source === source && known.ext === ext ? known : { source, ext };
}

/** Texts that are most often the same as the one before. */
function textReader(column: RowColumn): (row: number) => string | undefined {
  const { values } = column;
  if (values.storage !== 'bytes') throw new TypeError('a VARCHAR is kept as bytes');
  const { valid, offsets, data } = values;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  let before = -1;
  let text = '';
  return (row) => {
    if (valid?.[row] === 0) return undefined;
    const [start, end] = [offsets[row]!, offsets[row + 1]!];
    const isSame =
      before >= 0 && bytes.compare(bytes, offsets[before], offsets[before + 1], start, end) === 0;
    if (!isSame) text = bytes.toString('utf8', start, end);
    before = row;
    return text;
  };
}

/** Microseconds since the epoch; undefined for NULL and infinity. */
function timeReader({ values }: RowColumn): (row: number) => number | undefined {
  if (values.storage !== 'fixed') throw new TypeError('a TIMESTAMPTZ has a fixed number of bytes');
  const { valid, data } = values;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return (row) => {
    if (valid?.[row] === 0) return undefined;
    const high = view.getInt32(row * 8 + 4, true);
    const micros = high * 0x1_0000_0000 + view.getUint32(row * 8, true);
    return Number.isSafeInteger(micros) ? micros : undefined;
  };
}
