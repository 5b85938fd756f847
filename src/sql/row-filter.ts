import type { DuckDBConnection } from '@duckdb/node-api';
import type { QueryAnalysis } from './analyse.ts';
import { fold } from './database.ts';
import type { ColumnOf } from './evaluator/condition.ts';
import { compileFilter, type Filter } from './evaluator/filter.ts';
import { serializeQuery } from './expression-text.ts';
import type { FlowTable } from './flow-table.ts';
import type { Layout } from './layout.ts';
import type { Result } from './rows.ts';
import type { Node } from './syntax-node.ts';

/**
 * The filter that stands in for the database, if all that the query does is to select messages whose values its rows
 * pass on. `query`: as DuckDB gets it, with paths as columns of the table.
 */
export async function filterOf(
  connection: DuckDBConnection,
  { rowwise }: QueryAnalysis,
  query: string,
  { table, result, layout }: { table: FlowTable; result: Result; layout: Layout | undefined },
): Promise<Filter | undefined> {
  const passesAll = result === 'numbers' || layout?.computed.size === 0;
  if (!rowwise || !passesAll) return undefined;
  const tree = JSON.parse(await serializeQuery(connection, query)) as {
    statements: readonly { node: Node }[];
  };
  const root = tree.statements[0]!.node;
  return compileFilter(root['where_clause'] as Node | null, columnsOf(root, table));
}

function columnsOf(root: Node, table: FlowTable): ColumnOf {
  const { alias, table_name: name } = root['from_table'] as Node;
  const source = fold(String(alias === '' ? name : alias));
  return ({ class: kind, column_names: names }) => {
    if (kind !== 'COLUMN_REF') return undefined;
    const path = (names as unknown[]).map((each) => fold(String(each)));
    const isQualified = path.length === 2 && path[0] === source && table.place(source) === undefined;
    // A name that the query gives to an item counts in a condition only if there is no column of that name.
    return isQualified || path.length === 1 ? table.place(path.at(-1)!) : undefined;
  };
}
