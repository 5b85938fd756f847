import type { DuckDBConnection } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import type { StructField, Values } from '../message/rows.ts';
import { BIGINT, DuckDBTableFunction } from './duckdb-api.ts';
import { columnName, ROW_NUMBER } from './row-table-names.ts';
import { duckTypeOf } from './row-types.ts';
import { writeVector } from './row-vectors.ts';
import { copyToVector } from './string-vectors.ts';

/** The number of rows that DuckDB takes at a time. */
const CHUNK = duckdb.vector_size();

let tables = 0;

/** The rows of a run: their number, and the values of a column, which are asked for once. */
export interface TableRows {
  readonly length: number;
  readonly values: (column: number) => Values;
}

const NO_ROWS: TableRows = {
  length: 0,
  values: () => {
    throw new RangeError('there are no rows');
  },
};

/** One scan of the table: the places of the requested columns, and the number of rows read so far. */
interface Scan {
  readonly asked: readonly number[];
  done: number;
}

/**
 * The rows of a batch as a table for one connection, which runs one statement at a time. DuckDB asks only for the
 * columns that the query needs, and takes them as they are: no text is made or parsed.
 */
export class RowTable {
  /** The table's SQL name, a function without arguments. */
  readonly name = `__millrace_rows_${tables++}__`;
  /** The columns that newly prepared statements find in the table. */
  #columns: readonly StructField[] = [];
  #rows = NO_ROWS;
  #values: (Values | undefined)[] = [];

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
          // A statement may scan the table several times at once: DuckDB turns some windows into joins.
          const scan: Scan = { asked: info.getColumnIndexes(), done: 0 };
          info.setInitData(scan);
        },
        mainFunction: (info, { chunk }) => {
          const scan = info.getInitData() as Scan;
          const { asked, done } = scan;
          const count = Math.min(CHUNK, this.#rows.length - done);
          duckdb.data_chunk_set_size(chunk, count);
          if (count === 0) return;
          for (const [place, index] of asked.entries()) {
            const vector = duckdb.data_chunk_get_vector(chunk, place);
            const field = this.#columns[index];
            if (field === undefined) writeNumbers(vector, done, count);
            else writeVector(vector, field.type, this.#valuesOf(index), done, count);
          }
          scan.done += count;
        },
      }),
    );
  }

  /** The columns of statements that are prepared, or run, next. */
  expect(columns: readonly StructField[]): void {
    this.#columns = columns;
  }

  /** The rows of the next run. */
  set(rows: TableRows): void {
    this.#rows = rows;
    this.#values = [];
  }

  /** Lets go of the rows of the last run. */
  clear(): void {
    this.set(NO_ROWS);
  }

  #valuesOf(column: number): Values {
    return (this.#values[column] ??= this.#rows.values(column));
  }
}

function writeNumbers(vector: duckdb.Vector, start: number, count: number): void {
  // Integers of 64 bits, of which the upper words stay 0.
  const words = new Uint32Array(count * 2);
  for (let at = 0; at < count; at++) words[at * 2] = start + at;
  copyToVector(vector, words);
}
