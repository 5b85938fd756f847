import { BIGINT, DuckDBTableFunction, type DuckDBConnection } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import type { Rows, StructField } from '../message/rows.ts';
import { columnName, ROW_NUMBER } from './row-table-names.ts';
import { duckTypeOf } from './row-types.ts';
import { writeVector } from './row-vectors.ts';

/** Rows that DuckDB takes at a time. */
const CHUNK = duckdb.vector_size();

let tables = 0;

/** One reading of the table: the places of the columns that it asks for, and how many rows it has had. */
interface Scan {
  readonly asked: readonly number[];
  done: number;
}

/**
 * The rows of a batch as a table for one connection, which runs one statement at a time. DuckDB asks for the columns that
 * the query needs and no others, and takes them as they are: no text is made of them, nor read.
 */
export class RowTable {
  /** How SQL calls it, as a function without arguments. */
  readonly name = `__millrace_rows_${tables++}__`;
  /** What statements find in it that are prepared now. */
  #columns: readonly StructField[] = [];
  #rows: Rows = { length: 0, columns: [] };

  constructor(connection: DuckDBConnection) {
    connection.registerTableFunction(
      DuckDBTableFunction.create({
        name: this.name,
        supportsProjectionPushdown: true,
        bindFunction: (info) => {
          for (const [index, { type }] of this.#columns.entries())
            info.addResultColumn(columnName(index), duckTypeOf(type));
          info.addResultColumn(ROW_NUMBER, BIGINT);
        },
        initFunction: (info) => {
          // A statement may read the table several times at once: DuckDB makes joins of some windows.
          const scan: Scan = { asked: info.getColumnIndexes(), done: 0 };
          info.setInitData(scan);
        },
        mainFunction: (info, { chunk }) => {
          const scan = info.getInitData() as Scan;
          const { asked, done } = scan;
          const { columns, length } = this.#rows;
          const count = Math.min(CHUNK, length - done);
          duckdb.data_chunk_set_size(chunk, count);
          if (count === 0) return;
          for (const [place, index] of asked.entries()) {
            const vector = duckdb.data_chunk_get_vector(chunk, place);
            const column = columns[index];
            if (column !== undefined) writeVector(vector, column.type, column.values, done, count);
            else if (index === this.#columns.length) writeNumbers(vector, done, count);
          }
          scan.done += count;
        },
      }),
    );
  }

  /** The columns of the rows that statements are to be prepared for. */
  expect(columns: readonly StructField[]): void {
    this.#columns = columns;
  }

  /** What the next run is of: columns that its statement was prepared for; the last may be missing where it does not ask for them. */
  set(rows: Rows): void {
    this.#rows = rows;
  }
}

function writeNumbers(vector: duckdb.Vector, start: number, count: number): void {
  const numbers = BigInt64Array.from({ length: count }, (_, at) => BigInt(start + at));
  duckdb.copy_data_to_vector(vector, 0, numbers.buffer, 0, numbers.byteLength);
}
