/** How SQL calls a column of a `RowTable`; the names that rows have are given in the query. */
export function columnName(index: number): string {
  return `c${index}`;
}

/** And the column that numbers the rows, from 0. */
export const ROW_NUMBER = 'i';
