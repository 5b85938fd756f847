/** The SQL name of a column of a `RowTable`; the query gives the names that rows have. */
export function columnName(index: number): string {
  return `c${index}`;
}

/** The column that numbers the rows, from 0. */
export const ROW_NUMBER = 'i';
