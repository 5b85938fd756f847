import type { DuckDBConnection } from '@duckdb/node-api';
import { literal } from './database.ts';
import type { Node } from './syntax-node.ts';

/** The query's syntax tree as DuckDB writes it: JSON. */
export async function serializeQuery(connection: DuckDBConnection, sql: string): Promise<string> {
  const reader = await connection.runAndReadAll(`SELECT json_serialize_sql(${literal(sql)})`);
  return String(reader.getRows()[0]?.[0]);
}

/** A SELECT without anything but its list, in DuckDB's syntax tree. */
const SELECT = {
  type: 'SELECT_NODE',
  modifiers: [],
  cte_map: { map: [] },
  from_table: { type: 'EMPTY', alias: '', sample: null },
  where_clause: null,
  group_expressions: [],
  group_sets: [],
  aggregate_handling: 'STANDARD_HANDLING',
  having: null,
  sample: null,
  qualify: null,
};

/** A node of the syntax tree as SQL, in DuckDB's words: these are also the name of a column without an alias. */
export async function textOfExpression(connection: DuckDBConnection, expression: Node): Promise<string> {
  const node = { ...SELECT, select_list: [withoutPlaces({ ...expression, alias: '' })] };
  const statement = JSON.stringify({ error: false, statements: [{ node, named_param_map: [] }] });
  const reader = await connection.runAndReadAll(`SELECT json_deserialize_sql(${literal(statement)}::JSON)`);
  return String(reader.getRows()[0]?.[0]).replace(/^SELECT /, '');
}

/** A place of 64 bits, which says that there is none, would come back changed. */
function withoutPlaces(node: Node): unknown {
  return JSON.parse(JSON.stringify(node), (key, value: unknown) =>
    key === 'query_location' ? undefined : value,
  );
}
