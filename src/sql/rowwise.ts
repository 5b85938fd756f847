import { fold } from './database.ts';
import type { Node } from './syntax.ts';

/** Parts of a query that make a row depend on more than one message. */
const OTHER_ROWS = new Set(['WINDOW', 'SUBQUERY']);

/**
 * True if a query returns for several messages the rows that it returns for each alone, one after the other: it reads
 * only the batch, and does not group, sort, limit or look at other rows. `aggregates` are the folded names of DuckDB's
 * aggregate functions.
 */
export function isRowwise(root: Node, tableName: string, aggregates: ReadonlySet<string>): boolean {
  const from = root['from_table'] as Node | undefined;
  const isPlain =
    root['type'] === 'SELECT_NODE' &&
    from?.['type'] === 'BASE_TABLE' &&
    fold(String(from['table_name'])) === fold(tableName) &&
    root['aggregate_handling'] === 'STANDARD_HANDLING' &&
    (from['sample'] ?? root['sample'] ?? root['having'] ?? root['qualify'] ?? null) === null &&
    [root['group_expressions'], root['modifiers'], ((root['cte_map'] ?? {}) as Node)['map']].every(
      (list) => !Array.isArray(list) || list.length === 0,
    );
  return isPlain && !holds(root, (node) => isOfRows(node, aggregates));
}

/** True if an expression depends on several rows. */
export function isOfRows(node: Node, aggregates: ReadonlySet<string>): boolean {
  return OTHER_ROWS.has(String(node['class'])) || aggregates.has(fold(String(node['function_name'])));
}

/** True if `value` or anything in it is such a node. */
export function holds(value: unknown, is: (node: Node) => boolean): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return value.some((each) => holds(each, is));
  return is(value as Node) || Object.values(value as Node).some((each) => holds(each, is));
}
