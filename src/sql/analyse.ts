import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError } from '../errors.ts';
import { literal } from './database.ts';

/** What a query says of the columns that it needs. Names are in lower case: SQL compares them without case. */
export interface QueryAnalysis {
  /** True when it takes all columns (`*`, `COLUMNS(…)`), or may. */
  readonly star: boolean;
  /** Every name that could be a column. */
  readonly names: ReadonlySet<string>;
  /** Names that are more than passed on: compared, computed with, grouped by. */
  readonly computed: ReadonlySet<string>;
  /** Names that something is taken out of with a dot: JSON objects, or tables. */
  readonly dotted: ReadonlySet<string>;
  /** Names that the query itself gives to something. */
  readonly aliases: ReadonlySet<string>;
}

type Node = { readonly [key: string]: unknown };

interface Serialized {
  readonly error: boolean;
  readonly error_type?: string;
  readonly error_message?: string;
  readonly position?: string;
  readonly statements?: readonly { readonly node: Node }[];
}

/**
 * Reads a query's columns from DuckDB's own syntax tree.
 * @throws MillraceError MILLRACE_SQL_INVALID when it is not one SELECT statement
 */
export async function analyseQuery(connection: DuckDBConnection, query: string): Promise<QueryAnalysis> {
  const reader = await connection.runAndReadAll(`SELECT json_serialize_sql(${literal(query)})`);
  const tree = JSON.parse(String(reader.getRows()[0]?.[0])) as Serialized;
  if (tree.error) throw invalid(query, tree);
  if (tree.statements?.length !== 1) {
    throw new MillraceError('MILLRACE_SQL_INVALID', 'expected one SELECT statement', { fatal: true });
  }
  const names = new Set<string>();
  const computed = new Set<string>();
  const dotted = new Set<string>();
  const aliases = new Set<string>();
  let star = false;
  const { node } = tree.statements[0]!;
  const passedOn = isPlainSelect(node) ? new Set(node['select_list'] as Node[]) : new Set<Node>();
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit);
    if (typeof value !== 'object' || value === null) return;
    const current = value as Node;
    // DESCRIBE and SUMMARIZE show columns without a star of their own.
    if (current['class'] === 'STAR' || current['type'] === 'SHOW_REF') star = true;
    if (current['class'] === 'COLUMN_REF') {
      const path = current['column_names'] as string[];
      for (const name of path.slice(0, -1)) dotted.add(name.toLowerCase());
      for (const name of path) {
        names.add(name.toLowerCase());
        if (!passedOn.has(current)) computed.add(name.toLowerCase());
      }
    }
    for (const [key, child] of Object.entries(current)) {
      if (key === 'alias' && typeof child === 'string' && child !== '') aliases.add(child.toLowerCase());
      if ((key === 'column_name_alias' || key === 'aliases') && Array.isArray(child)) {
        for (const alias of child) if (typeof alias === 'string') aliases.add(alias.toLowerCase());
      }
      visit(child);
    }
  };
  visit(node);
  return { star, names, computed, dotted, aliases };
}

/** A SELECT whose listed columns are passed on as they are. */
function isPlainSelect(node: Node): boolean {
  const modifiers = (node['modifiers'] ?? []) as Node[];
  return (
    node['type'] === 'SELECT_NODE' &&
    (node['group_expressions'] as unknown[]).length === 0 &&
    modifiers.every((modifier) => modifier['type'] !== 'DISTINCT_MODIFIER')
  );
}

function invalid(query: string, { error_type, error_message = '', position }: Serialized): MillraceError {
  let message = error_message;
  if (error_type === 'not implemented') message = 'expected one SELECT statement';
  else if (position !== undefined) {
    const before = query.slice(0, Number(position)).split('\n');
    message += ` (line ${before.length}, column ${before.at(-1)!.length + 1} of the query)`;
  }
  return new MillraceError('MILLRACE_SQL_INVALID', message, { fatal: true });
}
