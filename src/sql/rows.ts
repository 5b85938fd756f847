import type { DuckDBDataChunk } from '@duckdb/node-api';
import { Batch, type Content, type Origin, type Run } from '../message/batch.ts';
import { valueReader, type RowValue } from '../message/row-values.ts';
import { bytesOfRows, type ColumnType, type Rows, type StructField } from '../message/rows.ts';
import { fold, identifier } from './database.ts';
import { asObject } from './encode.ts';
import { liftMetadata, metadataColumn, withLifted, ROW } from './metadata.ts';

const NAN = Buffer.from('NaN');
const INFINITY = Buffer.from('Infinity');
const NULL = Buffer.from('null');

const QUOTE = 0x22;
const MINUS = 0x2d;
const UPPER_I = 0x49;
const UPPER_N = 0x4e;
const BACKSLASH = 0x5c;

/** A column of the query's result. */
export interface ResultColumn {
  readonly name: string;
  /** JSON has no bytes: they become base64. */
  readonly isBlob: boolean;
  /** Its type if the rows keep their types; undefined for a type that rows cannot have. */
  readonly type?: ColumnType | undefined;
}

/**
 * The database's result for a batch, besides the number of rows:
 * - `rows`: the rows
 * - `rows and numbers`: the rows, and the numbers of their messages, whose metadata they take
 * - `rows and messages`: the same, for the receipts of their senders; the rows keep only the metadata that all messages
 *   share
 * - `numbers`: the numbers of the messages that are the rows
 *
 * Rows also have the metadata that the query returns, apart from their fields.
 */
export type Result = 'rows' | 'rows and numbers' | 'rows and messages' | 'numbers';

/** The result for a query with these columns, unless it is `numbers`. */
export function resultFor(columns: readonly ResultColumn[]): Result {
  return columns.some(({ name }) => name === ROW) ? 'rows and numbers' : 'rows';
}

/** The columns of rows that keep their types; undefined if one has a type that rows cannot have. */
export function typedFields(columns: readonly ResultColumn[]): StructField[] | undefined {
  const fields: StructField[] = [];
  for (const { name, type } of columns) {
    if (name === ROW || metadataColumn(name) !== undefined) continue;
    if (type === undefined) return undefined;
    fields.push({ name, type });
  }
  return new Set(fields.map(({ name }) => fold(name))).size === fields.length ? fields : undefined;
}

/** The select list that makes the result from the query's columns: in one row, or row by row for `typed` columns. */
export function selectResult(
  columns: readonly ResultColumn[],
  result: Result,
  typed?: readonly StructField[],
): string {
  const numbers = `encode(string_agg(CAST(${ROW} AS VARCHAR), ','))`;
  if (result === 'numbers') return `count(*), ${numbers}`;
  const fields: string[] = [];
  for (const { name, isBlob } of columns) {
    const column = identifier(name);
    if (name === ROW || metadataColumn(name) !== undefined) continue;
    fields.push(`${column} := ${isBlob ? `base64(${column})` : column}`);
  }
  const lifted = liftMetadata(columns.map(({ name }) => name));
  if (typed !== undefined) {
    const selected = typed.map(({ name }) => identifier(name));
    if (lifted !== undefined) selected.push(textOfJson(lifted));
    if (result !== 'rows') selected.push(ROW);
    return selected.length === 0 ? 'NULL' : selected.join(', ');
  }
  return [
    'count(*)',
    lines(fields.length === 0 ? 'MAP {}' : `struct_pack(${fields.join(', ')})`),
    lifted === undefined ? 'NULL' : lines(lifted),
    ...(result === 'rows' ? [] : [numbers]),
  ].join(', ');
}

function textOfJson(struct: string): string {
  return `CAST(to_json(${struct}) AS VARCHAR)`;
}

function lines(struct: string): string {
  return `encode(string_agg(${textOfJson(struct)} || chr(10), ''))`;
}

/**
 * The rows as messages, or undefined if there are none. `chunk` is the result for the batch; `check` gets the size of
 * the rows in bytes before anything is made from them.
 */
export function readResult(
  chunk: DuckDBDataChunk,
  batch: Batch,
  result: Result,
  check: (bytes: number) => void,
): Batch | undefined {
  const length = Number(chunk.getColumnVector(0).getItem(0));
  if (length === 0) return undefined;
  if (result === 'numbers') {
    const numbers = numbersIn(bytesAt(chunk, 1));
    if (batch.rows !== undefined) return batch.select(numbers);
    const payloads = numbers.map((index) => asObject(batch.payloads[index]!, batch.format));
    return batch.derive(numbers, payloads, 'json');
  }
  const rows = bytesAt(chunk, 1);
  check(rows.length);
  const isLifted = chunk.getColumnVector(2).getItem(0) !== null;
  return madeOf(batch, result, {
    content: { data: withoutNaN(rows), length },
    lifted: isLifted ? bytesAt(chunk, 2).toString().trimEnd().split('\n') : undefined,
    numbers: result === 'rows' ? undefined : numbersIn(bytesAt(chunk, 3)),
  });
}

/** Like `readResult`, for rows that keep their types. */
export function readTyped(
  chunks: readonly DuckDBDataChunk[],
  batch: Batch,
  of: { result: Result; isLifted: boolean; typed: readonly StructField[]; read: ReadRows },
  check: (bytes: number) => void,
): Batch | undefined {
  const { result, isLifted, typed, read } = of;
  const more: StructField[] = [];
  if (isLifted) more.push({ name: 'lifted', type: { kind: 'varchar' } });
  if (result !== 'rows') more.push({ name: 'numbers', type: { kind: 'bigint' } });
  const all = read(chunks, [...typed, ...more]);
  if (all.length === 0) return undefined;
  const rows = { length: all.length, columns: all.columns.slice(0, typed.length) };
  check(bytesOfRows(rows));
  const valuesOf = (name: string): RowValue[] | undefined => {
    const column = all.columns.slice(typed.length).find((each) => each.name === name);
    return column && Array.from({ length: all.length }, (_, row) => valueReader(column)(row));
  };
  return madeOf(batch, result, {
    content: rows,
    lifted: valuesOf('lifted')?.map(String),
    numbers: valuesOf('numbers')?.map(Number),
  });
}

/** `readRows` of the module that is imported together with DuckDB. */
type ReadRows = (chunks: readonly DuckDBDataChunk[], columns: readonly StructField[]) => Rows;

/** A query's result for a batch: its rows, the metadata that it gives them, and the messages of which they are made. */
interface Made {
  readonly content: Content;
  readonly lifted: readonly string[] | undefined;
  readonly numbers: readonly number[] | undefined;
}

function madeOf(batch: Batch, result: Result, { content, lifted, numbers }: Made): Batch {
  const runs = result === 'rows and numbers' ? undefined : [commonRun(batch)];
  const made =
    numbers === undefined
      ? new Batch(content, { runs: runs!, format: 'json' })
      : batch.derive(numbers, content, 'json', runs);
  return lifted === undefined ? made : withLifted(made, lifted, batch);
}

/** The result's text as bytes, or undefined if there is none. */
export function readText(chunk: DuckDBDataChunk): string {
  return chunk.getColumnVector(0).getItem(0) === null ? '' : bytesAt(chunk, 0).toString();
}

function bytesAt(chunk: DuckDBDataChunk, column: number): Buffer {
  const { bytes } = chunk.getColumnVector(column).getItem(0) as { bytes: Uint8Array };
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function numbersIn(text: Buffer): number[] {
  return text.toString().split(',').map(Number);
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

/**
 * JSON has no NaN and no infinity. They become null, except inside strings. This goes byte by byte, because a pattern
 * that skips strings runs out of stack on one of ten megabytes.
 */
function withoutNaN(data: Buffer): Buffer {
  if (!data.includes(NAN) && !data.includes(INFINITY)) return data;
  // Each `NaN` is a byte shorter than the `null` that replaces it.
  const result = Buffer.allocUnsafe(Math.ceil((data.length * NULL.length) / NAN.length));
  let end = 0;
  let inString = false;
  for (let at = 0; at < data.length; at++) {
    const byte = data[at]!;
    if (inString) {
      // The escaped character may be a quote.
      if (byte === BACKSLASH) result[end++] = data[at++]!;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else {
      const word = byte === MINUS ? at + 1 : at;
      const token = data[word] === UPPER_N ? NAN : data[word] === UPPER_I ? INFINITY : undefined;
      if (token !== undefined) {
        end += NULL.copy(result, end);
        at = word + token.length - 1;
        continue;
      }
    }
    result[end++] = data[at]!;
  }
  return result.subarray(0, end);
}
