import type { Context } from '../../component/context.ts';
import type { JsonType } from './infer.ts';
import type { SqlLink } from './sql-link.ts';

/** A column of a table. */
export interface Column {
  readonly name: string;
  /** As the database writes it. */
  readonly type: string;
  /** Whether it has a value of its own where a row gives none. */
  readonly hasDefault: boolean;
}

/** A table as it is in the database. */
export interface Table {
  /** As it stands in SQL. */
  readonly name: string;
  readonly columns: readonly Column[];
  readonly byName: ReadonlyMap<string, number>;
}

export function tableOf(name: string, columns: readonly Column[]): Table {
  return { name, columns, byName: new Map(columns.map((column, index) => [column.name, index])) };
}

/** How to insert rows. */
export interface InsertOptions {
  readonly onConflict: 'error' | 'ignore' | 'update';
  readonly keys: readonly string[] | undefined;
  /** Whether every value is given as text, also those of JSON columns. */
  readonly isText: boolean;
}

/** A statement, and the values of its parameters. */
export interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

/** Makes the statement that inserts rows, each a JSON object. */
export type Inserter = (rows: readonly Uint8Array[]) => Statement;

/** The statements that keep the ids of batches; see `exactly_once`. */
export interface BatchStatements {
  /** Creates the table of ids, and forgets old ones. */
  readonly open: readonly string[];
  /** Keeps the id that is its value; counts no row if it is there already. */
  readonly keep: string;
}

/** How a kind of database takes rows. `C` is the configuration of its connection. */
export interface Dialect<C> {
  open(config: C, context: Context, signal: AbortSignal): Promise<SqlLink>;
  /** The type of a column that holds these values. */
  readonly type: (type: JsonType, isKey: boolean) => string;
  /** Whatever stands behind the columns of a table that is created. */
  readonly tableOptions: string;
  readonly quoted: (name: string) => string;
  /** The columns of a table, whose name is as the file has it; none if there is no such table. */
  columns(name: string, link: SqlLink, signal: AbortSignal): Promise<readonly Column[]>;
  inserter(table: Table, columns: readonly Column[], options: InsertOptions): Inserter;
  readonly batches: BatchStatements;
  /** A statement for a transaction whose bad rows are searched for. */
  readonly immediate?: string;
  /** Whether the error is about the values of a row. */
  isOfRows(error: unknown): boolean;
  /** Whether the error says that a table is no longer as it was. */
  isChanged(error: unknown): boolean;
  describe(error: unknown): string;
}
