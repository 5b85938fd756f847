import type { DuckDBConnection } from '@duckdb/node-api';
import { fold, identifier } from './database.ts';
import { serializeQuery, textOfExpression } from './expression-text.ts';
import { holds, isOfRows } from './rowwise.ts';
import type { Node } from './syntax-node.ts';

/** At most this many expressions of a query are examined. */
const MAX_EXPRESSIONS = 100;

/** The source of a query's rows, and the rows on which it fails. */
export interface Faults {
  /** The query's name for the table that is the batch. */
  readonly alias: string;
  /** An SQL condition that holds if a row by itself makes the query fail. Evaluating it does not fail. */
  readonly condition: string;
}

/**
 * The condition under which one row of the batch makes a query fail, for a query that reads only the batch: an
 * expression over single rows, in or around its aggregates, fails where the row passes its WHERE. The condition may be
 * wrong in both directions, so try the rows that it finds. Undefined if nothing can be said.
 */
export async function faultsOf(
  connection: DuckDBConnection,
  query: string,
  tableName: string,
  aggregates: ReadonlySet<string>,
): Promise<Faults | undefined> {
  const serialized = await serializeQuery(connection, query);
  // Numbers that JavaScript cannot hold would come back changed. This one says that there is no place.
  if (/\d{16}/.test(serialized.replaceAll('18446744073709551615', ''))) return undefined;
  const skipPlaces = (key: string, value: unknown): unknown => (key === 'query_location' ? undefined : value);
  const tree = JSON.parse(serialized, skipPlaces) as { statements: { node: Node }[] };
  const root = tree.statements[0]!.node;
  const from = (root['from_table'] ?? {}) as Node;
  const isPlain =
    root['type'] === 'SELECT_NODE' &&
    from['type'] === 'BASE_TABLE' &&
    fold(String(from['table_name'])) === fold(tableName) &&
    [from['column_name_alias'], ((root['cte_map'] ?? {}) as Node)['map']].every(
      (list) => !Array.isArray(list) || list.length === 0,
    );
  if (!isPlain) return undefined;
  const where = (root['where_clause'] ?? undefined) as Node | undefined;
  if (where !== undefined && holds(where, ({ class: kind }) => kind === 'SUBQUERY')) return undefined;
  const expressions = [root['select_list'], root['group_expressions']].flatMap((list) =>
    ofRows(list, aggregates),
  );
  if (expressions.length > MAX_EXPRESSIONS) return undefined;
  const textOf = (expression: Node): Promise<string> => textOfExpression(connection, expression);
  try {
    const fails: string[] = [];
    for (const expression of expressions) fails.push(failing(await textOf(expression)));
    const alias = identifier(String(from['alias'] === '' ? tableName : from['alias']));
    if (where === undefined) return fails.length === 0 ? undefined : { alias, condition: fails.join(' OR ') };
    const filter = await textOf(where);
    const passing =
      fails.length === 0 ? '' : ` OR (coalesce(TRY(${filter}), false) AND (${fails.join(' OR ')}))`;
    return { alias, condition: failing(filter) + passing };
  } catch {
    // The condition only finds messages faster.
    return undefined;
  }
}

function failing(expression: string): string {
  return `(TRY((${expression}) IS NULL) IS NULL)`;
}

/** The largest expressions in `value` that are computed from one row and may fail. */
function ofRows(value: unknown, aggregates: ReadonlySet<string>): Node[] {
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((each) => ofRows(each, aggregates));
  const node = value as Node;
  const { class: kind } = node;
  if (kind === 'SUBQUERY' || kind === 'LAMBDA') return [];
  const whole = !holds(node, (each) => isOfRows(each, aggregates) || each['class'] === 'STAR');
  if (typeof kind === 'string' && whole) {
    return ['COLUMN_REF', 'CONSTANT', 'POSITIONAL_REFERENCE'].includes(kind) ? [] : [node];
  }
  return Object.values(node).flatMap((each) => ofRows(each, aggregates));
}
