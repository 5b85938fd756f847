import { sqlErrors } from './sql-errors.ts';
import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError } from '../errors.ts';
import { refuseOutside } from './allowed.ts';
import { bindArrows } from './arrows.ts';
import { literal } from './database.ts';
import { AGGREGATE_MACROS, defineFunctions } from './datafusion/macros.ts';
import { placeAt, unedited, type Edited, type Place } from './edits.ts';
import { faultsOf, type Faults } from './faults.ts';
import { ROW } from './metadata.ts';
import { isRowwise } from './rowwise.ts';
import { readSyntax, type Node, type QueryColumns } from './syntax.ts';
import { readValueAsText, VALUE_TEXT_MACRO } from './value-text.ts';

/** A query that is one SELECT, and the columns that it mentions. */
export interface QueryAnalysis extends QueryColumns {
  /** Each row is made of one message and does not depend on the others. */
  readonly rowwise: boolean;
  /** The rows of the batch on which the query fails; undefined if that cannot be determined. */
  readonly faults: Faults | undefined;
  /** True if it cannot give many more rows than the batch has: it multiplies none. */
  readonly isBounded: boolean;
  /** The query, without a semicolon at its end and with its arrows in parentheses. */
  readonly query: string;
  /** The place in the query as the user wrote it. */
  readonly original: (place: Place) => Place;
  /**
   * The same, with each row's message number; undefined if rows are made of several messages, or carry the number
   * already.
   */
  readonly numbered: string | undefined;
  /** True if the query may read JSON from text: it has a function or a type of that name, or an arrow. */
  readonly parsesText: boolean;
}

const PARSES_TEXT = /json|variant|"->>?"|"LAMBDA"/i;

const MULTIPLIES =
  /"type":"(?:JOIN|TABLE_FUNCTION|RECURSIVE_CTE_NODE)"|"function_name":"(?:unnest|unlist|generate_subscripts)"/i;

interface Serialized {
  readonly error: boolean;
  readonly error_type?: string;
  readonly error_message?: string;
  readonly position?: string;
  readonly statements?: readonly { readonly node: Node }[];
}

/**
 * Reads a query's columns from DuckDB's own syntax tree. `own` are the user's functions and views, by folded names.
 * @throws MillraceError MILLRACE_SQL_INVALID when it is not one SELECT statement
 */
export async function analyseQuery(
  connection: DuckDBConnection,
  written: string,
  tableName: string,
  { allowExternalAccess, own }: { allowExternalAccess: boolean; own: ReadonlySet<string> },
): Promise<QueryAnalysis> {
  const serialize = async (sql: string): Promise<string> => {
    const reader = await connection.runAndReadAll(`SELECT json_serialize_sql(${literal(sql)})`);
    return String(reader.getRows()[0]?.[0]);
  };
  const parse = async (query: Edited): Promise<{ serialized: string; tree: Serialized }> => {
    const serialized = await serialize(query.text);
    const tree = JSON.parse(serialized) as Serialized;
    if (tree.error) throw invalid(query, tree);
    return { serialized, tree };
  };
  const bound = bindArrows(unedited(written));
  let parsed = await parse(bound);
  const edited = readValueAsText(bound, parsed.tree);
  if (edited !== bound) {
    await connection.run(VALUE_TEXT_MACRO);
    parsed = await parse(edited);
  }
  const { text: query, original } = edited;
  const { serialized, tree } = parsed;
  if (tree.statements?.length !== 1) throw notOneSelect();
  if (!allowExternalAccess) await refuseOutside(connection, tree.statements[0]!.node, tableName, own);
  // The batch is the only parameter.
  if (serialized.includes('"class":"PARAMETER"')) {
    throw new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, 'the query cannot have parameters', {
      fatal: true,
      field: 'query',
    });
  }
  // If the tree stays the same without a semicolon, the semicolon only ends the statement, or is in a comment.
  let unended = query;
  for (let at = query.indexOf(';'); at >= 0; at = query.indexOf(';', at + 1)) {
    const without = `${unended.slice(0, at)} ${unended.slice(at + 1)}`;
    if ((await serialize(without)) === serialized) unended = without;
  }
  const parsesText = PARSES_TEXT.test(serialized) || own.size > 0;
  const { node } = tree.statements[0]!;
  await defineFunctions(connection, node);
  // DuckDB takes as long to list them as to open.
  const calls = serialized.includes('"class":"FUNCTION"');
  // A function of the user may hide an aggregate, or reading JSON.
  const aggregates = calls ? new Set([...(await aggregatesOf(connection)), ...own]) : new Set<string>();
  const rowwise = isRowwise(node, tableName, aggregates);
  const columns = readSyntax(node, tableName);
  const numbered = rowwise && columns.rows === 'any' ? await withNumbers(connection, serialized) : undefined;
  const faults = await faultsOf(connection, serialized, tableName, aggregates);
  const isBounded = !MULTIPLIES.test(serialized);
  return { ...columns, query: unended, original, parsesText, rowwise, isBounded, numbered, faults };
}

/** The first list of columns in `serialized` is the query's own: in a rowwise query nothing precedes it. */
async function withNumbers(connection: DuckDBConnection, serialized: string): Promise<string> {
  const list = '"select_list":[';
  const row = JSON.stringify({ class: 'COLUMN_REF', type: 'COLUMN_REF', alias: '', column_names: [ROW] });
  const numbered = serialized.replace(list, () => `${list}${row},`);
  const reader = await connection.runAndReadAll(`SELECT json_deserialize_sql(${literal(numbered)})`);
  return String(reader.getRows()[0]?.[0]);
}

async function aggregatesOf(connection: DuckDBConnection): Promise<ReadonlySet<string>> {
  const sql = `SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'`;
  const reader = await connection.runAndReadAll(sql);
  return new Set([...reader.getRows().map(([name]) => String(name)), ...AGGREGATE_MACROS]);
}

function notOneSelect(): MillraceError {
  return new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, 'expected one SELECT statement', {
    fatal: true,
    field: 'query',
  });
}

function invalid(
  { text, original }: Edited,
  { error_type, error_message = '', position }: Serialized,
): MillraceError {
  if (error_type === 'not implemented') return notOneSelect();
  let message = error_message;
  if (position !== undefined) {
    const before = Buffer.from(text).subarray(0, Number(position)).toString();
    const { line, column } = original(placeAt(text, before.length));
    message += ` (line ${line}, column ${column} of the query)`;
  }
  return new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, message, { fatal: true, field: 'query' });
}
