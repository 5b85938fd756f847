import { fold } from './database.ts';
import { metadataFields } from './metadata-values.ts';

/** The names of the metadata columns, folded. */
export const META: readonly string[] = metadataFields.map(({ name }) => name);

/**
 * The metadata column that a column of a query's result stands for. If `*` adds more of them, DuckDB names them with
 * numbers.
 */
export function metadataColumn(name: string): string | undefined {
  const folded = fold(name);
  return META.find((meta) => folded.startsWith(meta) && /^(?:_\d+)*$/.test(folded.slice(meta.length)));
}
