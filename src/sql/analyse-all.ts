import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError } from '../errors.ts';
import { analyseQuery, type AnalyseOptions, type QueryAnalysis } from './analyse.ts';
import { fold } from './database.ts';
import { placeAt, unedited } from './edits.ts';
import { explain } from './explain.ts';
import { sqlErrors } from './sql-errors.ts';
import { markedSelect, StatementTexts } from './statement-texts.ts';
import { readStatements, type Statements, type Text } from './statements.ts';
import { tokensOf } from './tokens.ts';

/** `state`: the tables of `state`, by folded names. */
type Options = AnalyseOptions & { readonly state: ReadonlySet<string> };

/**
 * Reads a query of one SELECT, or of several statements of which the last is one: then the columns are those that any
 * of them mentions.
 * @throws MillraceError MILLRACE_SQL_INVALID (fatal)
 */
export async function analyseAll(
  connection: DuckDBConnection,
  query: string,
  tableName: string,
  options: Options,
): Promise<QueryAnalysis> {
  const statements = readStatements(query);
  if (statements === undefined) return await analyseQuery(connection, query, tableName, options);
  await checkSyntax(connection, query);
  refuseOthers(query, statements, options.state);
  const analyse = (text: string, beside?: QueryAnalysis): Promise<QueryAnalysis> =>
    analyseQuery(connection, text, tableName, { ...options, beside, keepsSpelling: false });
  const written = (text: Text): string =>
    text.map((part) => (typeof part === 'string' ? part : query.slice(part.start, part.end))).join('');
  const readsBatch = (text: Text): boolean =>
    tokensOf(written(text)).some(
      ({ kind, text: word }) => (kind === 'word' || kind === 'quoted') && fold(word) === fold(tableName),
    );
  const reads = Map.groupBy(
    statements.before.flatMap((each) => each.reads),
    readsBatch,
  );
  const others = [...(reads.get(false) ?? []), ...statements.before.flatMap((each) => each.others)];
  // Only to find functions that they may not call, and to define others.
  if (others.length > 0) await analyse(markedSelect(query, others).text);
  const { last } = statements;
  // Places in it stay those in the query.
  const padding = query.slice(0, last.start).replaceAll(/[^\n]/gu, ' ');
  const whole = await analyse(padding + written([last]));
  const select = readsBatch([last]) ? whole : withoutColumns(whole);
  const ofBatch = reads.get(true) ?? [];
  const marked = ofBatch.length === 0 ? undefined : markedSelect(query, ofBatch);
  const first = marked && (await analyse(marked.text, select));
  return {
    ...(first === undefined ? select : together(first, select)),
    rowwise: false,
    before: new StatementTexts(
      query,
      statements,
      marked,
      first && ((columns) => first.query(columns, false)),
    ),
  };
}

/** @throws MillraceError for a mistake that only the parser finds */
async function checkSyntax(connection: DuckDBConnection, query: string): Promise<void> {
  try {
    await connection.extractStatements(query);
  } catch (error) {
    const message = explain(error, { linesBefore: 0, ...unedited(query) });
    throw invalid(message.replace(/^Failed to extract statements: /, ''), error);
  }
}

function refuseOthers(query: string, { before }: Statements, state: ReadonlySet<string>): void {
  const own = new Set(state);
  for (const { number, kind, table, start } of before) {
    if (kind === 'create') own.add(fold(table));
    if (own.has(fold(table))) continue;
    const { line, column } = placeAt(query, start);
    throw invalid(
      `statement ${number}: ${table} is neither a table of \`state\` nor a temporary one of this query (line ${line}, column ${column} of the query)`,
    );
  }
}

function invalid(message: string, cause?: unknown): MillraceError {
  return new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, message, { cause, fatal: true, field: 'query' });
}

/** The analysis of a SELECT that does not read the batch: what it names are not columns of messages. */
function withoutColumns(analysis: QueryAnalysis): QueryAnalysis {
  const none: ReadonlySet<string> = new Set();
  return {
    ...analysis,
    star: false,
    rows: 'any',
    names: new Map(),
    computed: none,
    matched: none,
    dotted: none,
    argumentsOf: new Map(),
    own: none,
    structured: new Map(),
    items: undefined,
  };
}

/** The columns of both, for the table that both read; the query is that of `last`. */
function together(first: QueryAnalysis, last: QueryAnalysis): QueryAnalysis {
  const isAll = first.computed === 'all' || last.computed === 'all';
  const merge = <T>(all: readonly ReadonlyMap<string, readonly T[]>[]): Map<string, T[]> => {
    const merged = new Map<string, T[]>();
    for (const each of all)
      for (const [key, values] of each) merged.set(key, [...(merged.get(key) ?? []), ...values]);
    return merged;
  };
  const argumentsOf = merge(
    [first, last].map((each) => new Map([...each.argumentsOf].map(([key, names]) => [key, [...names]]))),
  );
  return {
    ...last,
    names: new Map([...first.names, ...last.names]),
    computed: isAll
      ? 'all'
      : new Set([...(first.computed as Set<string>), ...(last.computed as Set<string>)]),
    matched: first.matched.union(last.matched),
    dotted: first.dotted.union(last.dotted),
    argumentsOf: new Map([...argumentsOf].map(([key, names]) => [key, new Set(names)])),
    own: first.own.union(last.own),
    structured: merge([first.structured, last.structured]),
    pathColumns: first.pathColumns,
    aggregates: first.aggregates.union(last.aggregates),
    readsWhole: first.readsWhole || last.readsWhole,
    parsesText: first.parsesText || last.parsesText,
    // A statement that takes all columns takes them as they are, so that none is only passed on.
    ...(first.star && { star: true, rows: 'any', items: undefined }),
  };
}
