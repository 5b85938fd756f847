import type { Node } from '../syntax-node.ts';
import { ConditionReader, type ColumnOf, type Columns } from './condition.ts';
import { TRUE } from './truth.ts';

/** A WHERE clause that needs no database. */
export interface Filter {
  /** The places of the columns that it reads. */
  readonly columns: readonly number[];
  /** The places of the rows that pass, ascending. `columns`: the values of each column that it reads. */
  readonly pass: (columns: Columns, length: number) => number[];
}

/**
 * The filter that a WHERE clause of DuckDB’s tree is; undefined if it is not certain to pass the same rows as in DuckDB,
 * and to fail for none. Its conditions are comparisons of columns with literals (BETWEEN, IN and LIKE with a plain
 * pattern among them), IS NULL and BOOLEAN columns, joined by AND, OR and NOT.
 */
export function compileFilter(where: Node | null | undefined, columnOf: ColumnOf): Filter | undefined {
  if (where === null || where === undefined) return { columns: [], pass: (_, length) => all(length) };
  const reader = new ConditionReader(columnOf);
  const condition = reader.read(where);
  if (condition === undefined) return undefined;
  let truths = new Uint8Array(0);
  return {
    columns: [...reader.columns],
    pass(columns, length) {
      if (truths.length < length) truths = new Uint8Array(length);
      condition(columns, length, truths);
      const places: number[] = [];
      for (let row = 0; row < length; row++) if (truths[row] === TRUE) places.push(row);
      return places;
    },
  };
}

function all(length: number): number[] {
  return Array.from({ length }, (_, row) => row);
}
