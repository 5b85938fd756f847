import type { DuckDBDataChunk, DuckDBPreparedStatement } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { bytesOf, concatValues, type Rows, type StructField, type Values } from '../message/rows.ts';
import { readVector } from './row-vectors.ts';

interface Reading {
  /** True if the result cannot have many more rows than the batch has messages. */
  readonly isBounded: boolean;
  /** Gets the bytes of the first `counted` columns as they are read. It may throw to end the query. */
  readonly check: (bytes: number) => void;
  readonly counted: number;
}

/** Runs the statement. @returns the first columns of its result */
export async function runRows(
  statement: DuckDBPreparedStatement,
  columns: readonly StructField[],
  { isBounded, check, counted }: Reading,
): Promise<Rows> {
  const parts = columns.map((): Values[] => []);
  let length = 0;
  const add = ({ chunk, rowCount }: DuckDBDataChunk): void => {
    length += rowCount;
    for (const [index, { type }] of columns.entries()) {
      const values = readVector(duckdb.data_chunk_get_vector(chunk, index), type, rowCount);
      if (index < counted) check(bytesOf(values));
      parts[index]!.push(values);
    }
  };
  if (isBounded) {
    // The result is in memory, so that each chunk can be had without another wait for a thread.
    const result = await statement.run();
    for (let index = 0; index < result.chunkCount; index++) add(result.getChunk(index));
  } else {
    const result = await statement.stream();
    for (;;) {
      const chunk = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) break;
      add(chunk);
    }
  }
  return {
    length,
    columns: columns.map(({ name, type }, index) => ({
      name,
      type,
      values: concatValues(type, parts[index]!),
    })),
  };
}
