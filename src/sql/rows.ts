import type { DuckDBDataChunk } from '@duckdb/node-api';
import { Batch, type Origin, type Run } from '../message/batch.ts';
import { fold, identifier } from './database.ts';
import { asObject } from './encode.ts';
import { META, ROW } from './flow-schema.ts';

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
}

/**
 * What the database gives for a batch, besides the number of rows:
 * - `rows`: the rows
 * - `rows and metadata`: the rows, and their metadata columns apart from them
 * - `rows and numbers`: the rows, and the numbers of their messages, whose metadata is theirs
 * - `rows and messages`: the same, for what their senders sent; of the metadata they keep what all share
 * - `rows and metadata and messages`: the rows, their metadata columns, and the numbers for what their senders sent
 * - `numbers`: the numbers of the messages that are the rows
 */
export type Result =
  | 'rows'
  | 'rows and metadata'
  | 'rows and numbers'
  | 'rows and messages'
  | 'rows and metadata and messages'
  | 'numbers';

/** The result for a query with these columns, unless it is `numbers`. */
export function resultFor(columns: readonly ResultColumn[]): Result {
  if (columns.some(({ name }) => name === ROW)) return 'rows and numbers';
  return columns.some(({ name }) => META.includes(fold(name))) ? 'rows and metadata' : 'rows';
}

/** The select list that gives the result from the query's columns. */
export function selectResult(columns: readonly ResultColumn[], result: Result): string {
  const numbers = `encode(string_agg(CAST(${ROW} AS VARCHAR), ','))`;
  if (result === 'numbers') return `count(*), ${numbers}`;
  const fields: string[] = [];
  const meta = new Set<string>();
  for (const { name, isBlob } of columns) {
    const column = identifier(name);
    if (META.includes(fold(name))) meta.add(fold(name));
    else if (name !== ROW) fields.push(`${column} := ${isBlob ? `base64(${column})` : column}`);
  }
  const has = (name: string, expression: string): string => (meta.has(name) ? expression : 'NULL');
  const lifted = [
    `s := ${has('__meta_source', 'CAST(__meta_source AS VARCHAR)')}`,
    `t := ${has('__meta_ingest_time', 'epoch_us(CAST(__meta_ingest_time AS TIMESTAMP))')}`,
    `e := ${has('__meta_ext', 'CAST(__meta_ext AS MAP(VARCHAR, VARCHAR))')}`,
  ];
  const results = ['count(*)', lines(fields.length === 0 ? 'MAP {}' : `struct_pack(${fields.join(', ')})`)];
  if (result.startsWith('rows and metadata')) results.push(lines(`struct_pack(${lifted.join(', ')})`));
  if (result === 'rows and numbers' || result.endsWith('messages')) results.push(numbers);
  return results.join(', ');
}

function lines(struct: string): string {
  return `encode(string_agg(CAST(to_json(${struct}) AS VARCHAR) || chr(10), ''))`;
}

/**
 * The rows as messages, or undefined if there are none. `chunk` is the result for the batch; `check` is given the bytes
 * of the rows before anything is made of them.
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
    const payloads = numbers.map((index) => asObject(batch.payloads[index]!, batch.format));
    return batch.derive(numbers, payloads, 'json');
  }
  const rows = bytesAt(chunk, 1);
  check(rows.length);
  const lines = { data: withoutNaN(rows), length };
  if (result === 'rows and numbers') return batch.derive(numbersIn(bytesAt(chunk, 2)), lines, 'json');
  const isLifted = result === 'rows and metadata' || result === 'rows and metadata and messages';
  const runs = isLifted ? liftedRuns(bytesAt(chunk, 2), commonRun(batch)) : [commonRun(batch)];
  if (result.endsWith('messages'))
    return batch.derive(numbersIn(bytesAt(chunk, isLifted ? 3 : 2)), lines, 'json', runs);
  return new Batch(lines, { runs, format: 'json' });
}

/** The text that is the result, as bytes, or nothing where there is none. */
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

/** What a row's own metadata columns leave out is taken from `common`. */
function liftedRuns(lifted: Buffer, common: Run): Run[] {
  return lifted
    .toString()
    .trimEnd()
    .split('\n')
    .map((line, start) => {
      const { s, t, e } = JSON.parse(line) as {
        s: string | null;
        t: number | null;
        e: Record<string, string> | null;
      };
      return { start, origin: { source: s ?? common.origin.source, ext: e ?? {} }, time: t ?? common.time };
    });
}

/** What can be said of rows that came from the batch as a whole: where all its messages came from, the oldest's time. */
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
 * JSON has no NaN and no infinity; they become null, unless they are text in a string. Byte by byte, since a pattern that
 * passes over strings has no stack for one of ten megabytes.
 */
function withoutNaN(data: Buffer): Buffer {
  if (!data.includes(NAN) && !data.includes(INFINITY)) return data;
  // Each `NaN` is a byte shorter than what it becomes.
  const result = Buffer.allocUnsafe(Math.ceil((data.length * NULL.length) / NAN.length));
  let end = 0;
  let inString = false;
  for (let at = 0; at < data.length; at++) {
    const byte = data[at]!;
    if (inString) {
      // What is escaped may be a quote.
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
