import type { DuckDBConnection } from '@duckdb/node-api';
import { tokensOf } from '../tokens.ts';
import { subjects } from './functions.ts';
import type { Overloads } from './subject.ts';

/** DuckDB's own function, to which a macro of the same name adds other numbers of arguments. */
const OWN = 'system.main.';

const macros: ReadonlyMap<string, Overloads> = new Map(
  subjects.flatMap((subject) =>
    Object.entries(subject.macros).flatMap(([names, overloads]) =>
      names.split(' ').map((name) => [name, overloads] as const),
    ),
  ),
);

/** Names of macros that make one value of many rows. */
export const AGGREGATE_MACROS: ReadonlySet<string> = new Set(
  subjects
    .filter(({ aggregates }) => aggregates === true)
    .flatMap((subject) => Object.keys(subject.macros).flatMap((names) => names.split(' '))),
);

/**
 * Creates the functions of DataFusion that a query calls and DuckDB lacks, for every connection of the database. Others
 * are not created: each takes about 2 ms, and there are a hundred. `tree` is the query as DuckDB parsed it.
 */
export async function defineFunctions(connection: DuckDBConnection, tree: unknown): Promise<void> {
  const sql = [...calledIn(tree)].flatMap(([name, counts]) => {
    const overloads = macros.get(name);
    return overloads === undefined || !isNeeded(overloads, counts) ? [] : [createMacro(name, overloads)];
  });
  if (sql.length > 0) await connection.run(sql.join(';'));
}

/** The same for statements of any kind, which DuckDB cannot give as a tree. A function that they make is theirs. */
export async function defineFunctionsIn(connection: DuckDBConnection, statements: string): Promise<void> {
  const tokens = tokensOf(statements);
  const names = new Set<string>();
  for (const [at, { kind, text }] of tokens.entries()) {
    const isMade = /^(?:macro|function|exists)$/i.test(tokens[at - 1]?.text ?? '');
    if (kind === 'word' && tokens[at + 1]?.text === '(' && !isMade) names.add(text.toLowerCase());
  }
  const sql = [...names].flatMap((name) => {
    const overloads = macros.get(name);
    return overloads === undefined ? [] : [createMacro(name, overloads)];
  });
  if (sql.length > 0) await connection.run(sql.join(';'));
}

/** The statements for all of them. */
export function createMacros(): string[] {
  return [...macros].map(([name, overloads]) => createMacro(name, overloads));
}

function createMacro(name: string, overloads: Overloads): string {
  const bodies = Object.entries(overloads).map(([parameters, body]) => `(${parameters}) AS ${body}`);
  return `CREATE MACRO IF NOT EXISTS "${name}" ${bodies.join(', ')}`;
}

/** False if DuckDB's own function takes every call as it is. */
function isNeeded(overloads: Overloads, counts: ReadonlySet<number>): boolean {
  return Object.entries(overloads).some(
    ([parameters, body]) => !body.startsWith(OWN) && counts.has(countOf(parameters)),
  );
}

function countOf(parameters: string): number {
  return parameters === '' ? 0 : parameters.split(',').length;
}

/** The functions that a query calls, each with the numbers of its arguments. */
function calledIn(tree: unknown): Map<string, Set<number>> {
  const called = new Map<string, Set<number>>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) return value.forEach(visit);
    const node = value as Readonly<Record<string, unknown>>;
    const { function_name: name, children } = node;
    if (typeof name === 'string' && Array.isArray(children)) {
      const counts = called.get(name.toLowerCase()) ?? new Set();
      called.set(name.toLowerCase(), counts.add(children.length));
    }
    Object.values(node).forEach(visit);
  };
  visit(tree);
  return called;
}
