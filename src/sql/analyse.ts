import { sqlErrors } from './sql-errors.ts';
import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError } from '../errors.ts';
import { refuseOutside } from './allowed.ts';
import { bindArrows } from './arrows.ts';
import { fold, identifier } from './database.ts';
import { AGGREGATE_MACROS, defineFunctions } from './datafusion/macros.ts';
import { edit, placeAt, unedited, type Edit, type Edited } from './edits.ts';
import { serializeQuery, textOfExpression } from './expression-text.ts';
import { pathEdits, type PathColumn, type PathEdits, type ReadColumns } from './path-edits.ts';
import { holds, isByMessage, isRowwise } from './rowwise.ts';
import type { StatementTexts } from './statement-texts.ts';
import { readSyntax, type QueryColumns, type Reference } from './syntax.ts';
import type { Node } from './syntax-node.ts';
import { tokensOf } from './tokens.ts';
import { readValueAsText, VALUE_TEXT_MACRO } from './value-text.ts';

/** A query that is one SELECT, and the columns that it mentions. */
export interface QueryAnalysis extends QueryColumns {
  /** Each row is made of one message and does not depend on the others. */
  readonly rowwise: boolean;
  /** True if it cannot give many more rows than the batch has: it multiplies none. */
  readonly isBounded: boolean;
  /** The folded names of DuckDB's aggregate functions. */
  readonly aggregates: ReadonlySet<string>;
  /** Columns that are paths into fields. */
  readonly pathColumns: readonly PathColumn[];
  /** The name of the column that numbers the rows, which the query does not use. */
  readonly row: string;
  /**
   * The query, without a semicolon at its end and with its arrows in parentheses. Of the paths,
   * those that are columns of the table are read as such. `numbered`: its rows begin with the number of their message, unless a `*` brings it.
   */
  readonly query: (columns: ReadColumns, numbered: boolean) => Edited;
  /** For each item of the root's select list: the name that DuckDB gives it, if paths would change that. */
  readonly itemNames: readonly (string | undefined)[];
  /** True if the query reads whole messages as text: `CAST(__value__ AS VARCHAR)`. */
  readonly readsWhole: boolean;
  /** The statements before the SELECT, if there are some. */
  readonly before?: StatementTexts;
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

export interface AnalyseOptions {
  readonly allowExternalAccess: boolean;
  /** The user's functions and views, by folded names. */
  readonly own: ReadonlySet<string>;
  /** Of another statement that reads the same table: paths that both name are the same columns. */
  readonly beside?: QueryAnalysis | undefined;
  /** True if rows are JSON: values that they only carry on keep their spelling. */
  readonly keepsSpelling: boolean;
}

/**
 * Reads a query's columns from DuckDB's own syntax tree.
 * @throws MillraceError MILLRACE_SQL_INVALID when it is not one SELECT statement
 */
export async function analyseQuery(
  connection: DuckDBConnection,
  written: string,
  tableName: string,
  { allowExternalAccess, own, beside, keepsSpelling }: AnalyseOptions,
): Promise<QueryAnalysis> {
  const serialize = (sql: string): Promise<string> => serializeQuery(connection, sql);
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
  const { text: query } = edited;
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
  const calls = serialized.includes('"class":"FUNCTION"');
  // A function of the user may hide an aggregate, or reading JSON.
  const aggregates = calls
    ? new Set([...(await aggregatesOf(connection, allowExternalAccess)), ...own])
    : new Set<string>();
  const rowwise = isRowwise(node, tableName, aggregates);
  const isOneOf = isByMessage(node, tableName, aggregates);
  const read = readSyntax(node, tableName, isOneOf, keepsSpelling);
  const names = new Map<Node, string>();
  for (const reference of read.paths)
    if (reference.isUnnamed) names.set(reference.node, await nameOf(connection, reference.node));
  const paths = pathEdits(unended, [...read.paths, ...read.carried], {
    known: beside?.pathColumns ?? [],
    isTaken: (name) => read.names.has(name) || beside?.names.has(name) === true,
    nameOf: ({ node: each }) => names.get(each)!,
  });
  const columns = withWholes(read, paths);
  const row = freeName('__row__', unended);
  const numberAt = columns.star
    ? undefined
    : tokensOf(unended).find(({ kind, text }) => kind === 'word' && /^select$/i.test(text));
  return {
    ...columns,
    aggregates,
    pathColumns: paths.columns,
    row,
    rowwise,
    isBounded: !MULTIPLIES.test(serialized),
    readsWhole: edited !== bound,
    parsesText,
    itemNames: await itemNames(connection, node, paths.references),
    query: ({ reads, fields }, numbered) => {
      const edits: Edit[] = paths.edits.flatMap(({ path, form, edit: each }) =>
        reads(path, form) ? [each] : [],
      );
      for (const { table, location, isUnnamed } of columns.wholeRows) {
        const start = Buffer.from(unended).subarray(0, location).toString().length;
        const { end } = tokensOf(unended).find((token) => token.start === start)!;
        const members = fields.map(
          (name) => `${identifier(name)} := ${identifier(table)}.${identifier(name)}`,
        );
        const row = members.length === 0 ? 'NULL' : `struct_pack(${members.join(', ')})`;
        edits.push({ start, end, text: isUnnamed ? `${row} AS ${identifier(table)}` : row });
      }
      if (numbered && numberAt !== undefined)
        edits.push({ start: numberAt.end, end: numberAt.end, text: ` ${identifier(row)},` });
      return edit({ ...edited, text: unended }, edits);
    },
  };
}

/** A column into which a path leads that cannot be read by itself is computed with as a whole. */
function withWholes(columns: QueryColumns, { references }: PathEdits): QueryColumns {
  const { paths, computed, items } = columns;
  const others = paths.filter((reference) => !references.has(reference));
  if (others.length === 0) return columns;
  const wholes = others.map(({ path }) => fold(path[0]));
  return {
    ...columns,
    computed: computed === 'all' ? 'all' : new Set([...computed, ...wholes]),
    // Items that are passed on would have to be told apart.
    items: others.some(({ isPassed }) => isPassed) ? undefined : items,
  };
}

/** The name that DuckDB gives an item of a select list that has no other. */
async function nameOf(connection: DuckDBConnection, item: Node): Promise<string> {
  if (item['class'] === 'COLUMN_REF') return String((item['column_names'] as unknown[]).at(-1));
  return await textOfExpression(connection, item);
}

async function itemNames(
  connection: DuckDBConnection,
  root: Node,
  references: ReadonlySet<Reference>,
): Promise<(string | undefined)[]> {
  const nodes = new Set([...references].map(({ node }) => node));
  const items = (Array.isArray(root['select_list']) ? root['select_list'] : []) as Node[];
  const names: (string | undefined)[] = [];
  for (const item of items) {
    const reference = [...references].find(({ node }) => node === item);
    if (reference?.path.length === 1 && item['alias'] === '') {
      names.push(reference.path[0]);
      continue;
    }
    const isChanged = item['alias'] === '' && !nodes.has(item) && holds(item, (node) => nodes.has(node));
    names.push(isChanged ? await textOfExpression(connection, item) : undefined);
  }
  return names;
}

/** A name that does not occur in the query. */
function freeName(name: string, query: string): string {
  let free = name;
  for (let number = 1; fold(query).includes(free); number++) free = `${name}_${number}`;
  return free;
}

/** Those of a database without extensions, which are the same in each: DuckDB takes as long to list them as to open. */
let builtIn: ReadonlySet<string> | undefined;

/** A database that may read files can have extensions, which bring aggregates of their own. */
async function aggregatesOf(
  connection: DuckDBConnection,
  allowExternalAccess: boolean,
): Promise<ReadonlySet<string>> {
  if (allowExternalAccess) return await listAggregates(connection);
  return (builtIn ??= await listAggregates(connection));
}

async function listAggregates(connection: DuckDBConnection): Promise<ReadonlySet<string>> {
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
