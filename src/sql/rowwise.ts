import { fold } from './database.ts';
import type { Node } from './syntax-node.ts';

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

/**
 * True if each row of a query is made of one message: it reads only the batch, and does not group. It may sort, limit,
 * and look at other messages.
 */
export function isByMessage(root: Node, tableName: string, aggregates: ReadonlySet<string>): boolean {
  const from = root['from_table'] as Node | undefined;
  const isAggregate = (node: Node): boolean =>
    node['class'] === 'FUNCTION' && aggregates.has(fold(String(node['function_name'])));
  const modifiers = (Array.isArray(root['modifiers']) ? root['modifiers'] : []) as Node[];
  return (
    root['type'] === 'SELECT_NODE' &&
    from?.['type'] === 'BASE_TABLE' &&
    fold(String(from['table_name'])) === fold(tableName) &&
    root['aggregate_handling'] === 'STANDARD_HANDLING' &&
    (from['sample'] ?? root['sample'] ?? root['having'] ?? null) === null &&
    modifiers.every(({ type }) => type === 'ORDER_MODIFIER' || type === 'LIMIT_MODIFIER') &&
    [from['column_name_alias'], root['group_expressions'], ((root['cte_map'] ?? {}) as Node)['map']].every(
      (list) => !Array.isArray(list) || list.length === 0,
    ) &&
    // A subquery may group.
    !holds(root, isAggregate, ({ class: kind }) => kind === 'SUBQUERY')
  );
}

/** True if an expression depends on several rows. */
export function isOfRows(node: Node, aggregates: ReadonlySet<string>): boolean {
  return OTHER_ROWS.has(String(node['class'])) || aggregates.has(fold(String(node['function_name'])));
}

/** True if `value` or anything in it is such a node. Nothing in an `except` counts. */
export function holds(
  value: unknown,
  is: (node: Node) => boolean,
  except: (node: Node) => boolean = () => false,
): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return value.some((each) => holds(each, is, except));
  const node = value as Node;
  if (except(node)) return false;
  return is(node) || Object.values(node).some((each) => holds(each, is, except));
}
