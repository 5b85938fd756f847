import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError } from '../errors.ts';
import { identifier } from './database.ts';
import type { Edited } from './edits.ts';
import type { Within } from './explain.ts';
import type { Statement } from './statements.ts';
import { columnsOf } from './state-tables.ts';
import type { ReadColumns } from './path-edits.ts';
import type { StatementTexts } from './statement-texts.ts';
import { Upsert } from './upsert.ts';

/** A statement before the last one, for one table. */
interface BatchStatement {
  readonly within: Within;
  readonly run: (connection: DuckDBConnection) => Promise<unknown>;
}

/** The statements before the last one, for one table. They run in a transaction of the caller's. */
export interface BatchStatements {
  /** Makes the batch a table of its own name for them. */
  readonly view: string;
  readonly all: readonly BatchStatement[];
  /** Drops the temporary tables that they have made. */
  readonly end: string;
  /** The folded names of columns of tables that they make. */
  readonly columns: ReadonlySet<string>;
}

/** `view`: the SELECT that is the batch. `at` learns each statement before it is tried. @throws the database's error */
export async function prepareStatements(
  connection: DuckDBConnection,
  texts: StatementTexts,
  { tableName, view: select, columns: read }: { tableName: string; view: string; columns: ReadColumns },
  at: (within: Within) => void,
): Promise<BatchStatements> {
  const view = `CREATE OR REPLACE TEMP VIEW ${identifier(tableName)} AS ${select}`;
  await connection.run(view);
  const writer = texts.writer(read);
  const all: BatchStatement[] = [];
  const made: string[] = [];
  for (const statement of texts.statements) {
    const whole = writer([statement]);
    const within = { linesBefore: 0, statement: statement.number, ...whole };
    at(within);
    const run = await runnerOf(connection, statement, whole, (text) => writer(text).text);
    // Those that follow may read the table.
    if (statement.kind === 'create') {
      await connection.run(whole.text);
      made.push(statement.table);
    } else (await connection.prepare(whole.text)).destroySync();
    all.push({ within, run });
  }
  return {
    view,
    all,
    end: made.map((name) => `DROP TABLE IF EXISTS temp.${identifier(name)};`).join(' '),
    columns: await columnsOf(connection, made),
  };
}

async function runnerOf(
  connection: DuckDBConnection,
  statement: Statement,
  { text }: Edited,
  write: (text: StatementTexts['statements'][number]['reads'][number]) => string,
): Promise<BatchStatement['run']> {
  const { insert, repeats, table } = statement;
  if (insert !== undefined && (insert.onConflict === 'replaces' || insert.onConflict === 'computes')) {
    const upsert = await Upsert.prepare(connection, table, insert, write);
    if (upsert !== undefined) return (each) => upsert.run(each);
  }
  if (repeats === undefined) return (each) => each.run(text);
  const sql = write(repeats);
  return async (each) => {
    if ((await each.runAndReadAll(sql)).currentRowCount > 0) throw repeated(statement);
    await each.run(text);
  };
}

/** DuckDB would take any of them, and say nothing. */
function repeated({ number, table }: Statement): MillraceError {
  const message = `statement ${number}: several rows would change one row of ${table}, and only one of them could; aggregate them first, or use INSERT OR REPLACE, which takes one after the other`;
  return new MillraceError('MILLRACE_PROCESSOR_FAILED', message);
}
