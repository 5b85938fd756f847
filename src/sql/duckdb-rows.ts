// Typed rows in and out of DuckDB: all that needs its library, which is imported when a stream has SQL.

export { fetchChunks, readRows } from './row-chunks.ts';
export { RowTable } from './row-table.ts';
export { columnTypeOf } from './row-types.ts';
