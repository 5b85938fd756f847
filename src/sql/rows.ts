import type { DuckDBDataChunk } from '@duckdb/node-api';
import { Batch, type Origin, type Run } from '../message/batch.ts';
import { valueReader } from '../message/row-values.ts';
import { lengthOf, type RowColumn, type Rows, type StructField } from '../message/rows.ts';
import { textOf } from '../message/text.ts';
import { identifier } from './database.ts';
import { asObject } from './encode.ts';
import type { Part, Source } from './flow-source.ts';
import { layOut, type Layout } from './layout.ts';
import { liftedColumns, withLifted, type ResultColumn } from './lifted.ts';
import { metadataColumn } from './metadata.ts';

/**
 * The database's result for a batch:
 * - `rows`: the rows
 * - `rows and numbers`: the rows, and the numbers of their messages, whose metadata they take
 * - `rows and messages`: the same, for the receipts of their senders; the rows keep only the metadata that all messages
 *   share
 * - `numbers`: the numbers of the messages that are the rows
 *
 * Rows also have the metadata that the query returns, apart from their fields.
 */
export type Result = 'rows' | 'rows and numbers' | 'rows and messages' | 'numbers';

/** The fields of the rows. A column of a type that rows cannot have becomes JSON. */
export function fieldsOf(columns: readonly ResultColumn[]): StructField[] {
  return columns
    .filter(({ name }) => metadataColumn(name) === undefined)
    .map(({ name, type = { kind: 'json' } }) => ({ name, type }));
}

/**
 * The select list that makes the result from the query's columns: the fields, the lifted metadata, and the number of
 * the message, which `row` names.
 */
export function selectResult(columns: readonly ResultColumn[], row: string | undefined): string {
  const selected = columns
    .filter(({ name }) => metadataColumn(name) === undefined)
    .map(({ name, type }) => (type === undefined ? `CAST(${identifier(name)} AS JSON)` : identifier(name)));
  selected.push(...liftedColumns(columns).map(({ select }) => select));
  if (row !== undefined) selected.push(identifier(row));
  return selected.length === 0 ? 'NULL' : selected.join(', ');
}

/** The columns of `selectResult`. */
export function resultColumns(
  fields: readonly StructField[],
  lifted: readonly StructField[],
  isNumbered: boolean,
): StructField[] {
  const columns = [...fields, ...lifted];
  if (isNumbered) columns.push({ name: 'numbers', type: { kind: 'bigint' } });
  return columns;
}

/** The columns of a result, by what they are for. */
export interface ResultShape {
  readonly result: Result;
  readonly fields: readonly StructField[];
  /** The metadata that the query gives its rows. */
  readonly lifted: readonly StructField[];
  /** Where the columns of rows come from, if some do not come from the database. */
  readonly layout: Layout | undefined;
}

/** The messages of the part at `numbers`, as rows of their fields alone; undefined if there are none. */
export function passMessages(
  numbers: readonly number[],
  part: Part,
  source: Source,
  shape: ResultShape,
): Batch | undefined {
  if (numbers.length === 0) return undefined;
  if (shape.result === 'numbers') return selectMessages(part.batch, numbers);
  return rowsOf(numbers, layOut(shape.layout!, [], { source, part, numbers }), part, shape);
}

function rowsOf(
  numbers: readonly number[],
  columns: readonly RowColumn[],
  { batch }: Part,
  { result }: ResultShape,
): Batch {
  const runs = result === 'rows and numbers' ? undefined : [commonRun(batch)];
  return batch.derive(numbers, { length: numbers.length, columns }, 'json', runs);
}

/** The result for the part of a batch, of `resultColumns`, as messages; undefined if there are none. */
export function readResult(all: Rows, part: Part, source: Source, shape: ResultShape): Batch | undefined {
  if (all.length === 0) return undefined;
  const { batch } = part;
  const { result, fields, lifted, layout } = shape;
  const numbers = result === 'rows' ? undefined : numbersIn(all.columns.at(-1)!);
  if (result === 'numbers') return selectMessages(batch, numbers!);
  const computed = all.columns.slice(0, fields.length);
  const columns =
    layout === undefined ? computed : layOut(layout, computed, { source, part, numbers: numbers! });
  const made =
    numbers === undefined
      ? new Batch({ length: all.length, columns }, { runs: [commonRun(batch)], format: 'json' })
      : rowsOf(numbers, columns, part, shape);
  if (lifted.length === 0) return made;
  const metadata = all.columns.slice(fields.length, fields.length + lifted.length);
  return withLifted(made, { length: all.length, columns: metadata }, batch, numbers);
}

/** Messages that are the rows. */
function selectMessages(batch: Batch, numbers: readonly number[]): Batch {
  if (batch.rows !== undefined) return batch.select(numbers);
  const payloads = numbers.map((index) => asObject(batch.payloads[index]!, batch.format));
  return batch.derive(numbers, payloads, 'json');
}

function numbersIn(column: RowColumn): number[] {
  const read = valueReader(column);
  return Array.from({ length: lengthOf(column.values) }, (_, row) => Number(read(row)));
}

/** The text that is a query's only value; empty if it is NULL. */
export function readText(chunk: DuckDBDataChunk): string {
  const value = chunk.getColumnVector(0).getItem(0) as { bytes: Uint8Array } | null;
  return value === null ? '' : textOf(value.bytes);
}

/**
 * The metadata of rows that came from the batch as a whole: the origin of all its messages, and the time of the oldest.
 */
function commonRun(batch: Batch): Run {
  const first = batch.runs[0]!;
  let { time } = first;
  let origin: Origin = { source: first.origin.source, ext: {} };
  for (const run of batch.runs) {
    if (run.time < time) time = run.time;
    if (run.origin.source !== origin.source) origin = { source: '', ext: {} };
  }
  return { start: 0, origin, time };
}
