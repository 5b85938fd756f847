import type { DuckDBDataChunk, DuckDBResult } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { concatValues, type Rows, type StructField, type Values } from '../message/rows.ts';
import { readVector } from './row-vectors.ts';

/** All chunks of a computed result. */
export async function fetchChunks(result: DuckDBResult): Promise<DuckDBDataChunk[]> {
  const chunks: DuckDBDataChunk[] = [];
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return chunks;
    chunks.push(chunk);
  }
}

/** The first columns of a result as rows; other columns may follow. */
export function readRows(chunks: readonly DuckDBDataChunk[], columns: readonly StructField[]): Rows {
  return {
    length: chunks.reduce((sum, { rowCount }) => sum + rowCount, 0),
    columns: columns.map(({ name, type }, index) => {
      const parts = chunks.map(({ chunk, rowCount }): Values =>
        readVector(duckdb.data_chunk_get_vector(chunk, index), type, rowCount),
      );
      return { name, type, values: concatValues(type, parts) };
    }),
  };
}
