// Typed rows in and out of DuckDB: everything that needs its library, imported when a stream has SQL.

export { runRows } from './row-chunks.ts';
export { RowTable } from './row-table.ts';
export { columnTypeOf } from './row-types.ts';
