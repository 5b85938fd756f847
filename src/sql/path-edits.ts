import { pathKey, pathText, type Path } from '../message/field-path.ts';
import { fold, identifier } from './database.ts';
import type { Edit } from './edits.ts';
import type { PathForm } from './reference-paths.ts';
import type { Reference } from './syntax.ts';
import { tokensOf, type Token } from './tokens.ts';

/** A column of the table that is a path into a field of the messages. */
export interface PathColumn {
  readonly path: Path;
  readonly form: PathForm;
  /** Its name in SQL. */
  readonly as: string;
  /** True if the query does more than pass it on. */
  readonly isComputed: boolean;
}

/** The columns of the table that a query reads, as far as its text depends on them. */
export interface ReadColumns {
  /** The fields that a row has, by their names in SQL. */
  readonly fields: readonly string[];
  /** True if the path is a column of the table. */
  readonly reads: (path: Path, form: PathForm) => boolean;
}

/** The paths of a query as columns, and the edits that make the query read them. */
export interface PathEdits {
  readonly columns: readonly PathColumn[];
  /** Each with the path that it makes a column. */
  readonly edits: readonly { readonly path: Path; readonly form: PathForm; readonly edit: Edit }[];
  /** The references that are read so; the others stay as they are. */
  readonly references: ReadonlySet<Reference>;
}

/**
 * Paths as columns of their own, beside those that are `known`. `isTaken`: true for other names, folded, that no column
 * may have. `nameOf`: the name that DuckDB gives a reference in a select list.
 */
export function pathEdits(
  query: string,
  references: readonly Reference[],
  {
    known: others,
    isTaken,
    nameOf,
  }: {
    readonly known: readonly PathColumn[];
    readonly isTaken: (name: string) => boolean;
    readonly nameOf: (reference: Reference) => string;
  },
): PathEdits {
  const tokens = references.length === 0 ? [] : tokensOf(query);
  const bytes = Buffer.from(query);
  const columns = new Map(others.map((each) => [`${each.form} ${pathKey(each.path)}`, each]));
  const edits: { path: Path; form: PathForm; edit: Edit }[] = [];
  const read = new Set<Reference>();
  for (const reference of references) {
    const { path, form, location, table, isPassed, isUnnamed } = reference;
    const start = bytes.subarray(0, location).toString().length;
    const extent = extentOf(tokens, start, reference);
    if (extent === undefined) continue;
    const key = `${form} ${pathKey(path)}`;
    const known = columns.get(key);
    let as = known?.as ?? (form === 'value' ? pathText(path) : query.slice(extent.start, extent.end));
    const base = as;
    const isUsed = (name: string): boolean =>
      known === undefined &&
      (isTaken(fold(name)) || [...columns.values()].some((each) => fold(each.as) === fold(name)));
    for (let number = 1; isUsed(as); number++) as = `${base}_${number}`;
    columns.set(key, { path, form, as, isComputed: !isPassed || known?.isComputed === true });
    const column = table === undefined ? identifier(as) : `${identifier(table)}.${identifier(as)}`;
    const name = isUnnamed ? ` AS ${identifier(nameOf(reference))}` : '';
    edits.push({ path, form, edit: { ...extent, text: column + name } });
    read.add(reference);
  }
  return { columns: [...columns.values()], edits, references: read };
}

/** The part of the query that is the path; undefined if it does not look like one. */
function extentOf(
  tokens: readonly Token[],
  begin: number,
  { names, links, isUnnamed }: Reference,
): { readonly start: number; readonly end: number } | undefined {
  let first = tokens.findIndex(({ start }) => start === begin);
  if (first < 0) return undefined;
  const isSymbol = (at: number, text: string): boolean =>
    tokens[at]?.kind === 'symbol' && tokens[at].text === text;
  let next = first + 2 * names - 1;
  const widen = (): boolean => {
    if (!isSymbol(first - 1, '(') || !isSymbol(next, ')')) return false;
    first--;
    next++;
    return true;
  };
  for (let link = 0; link < links;) {
    if (isSymbol(next, '.') || isSymbol(next, '->') || isSymbol(next, '->>')) next += 2;
    else if (isSymbol(next, '[') && isSymbol(next + 2, ']')) next += 3;
    else if (widen()) continue;
    else return undefined;
    link++;
  }
  // A name may not stand within parentheses.
  for (let goesOn = isUnnamed; goesOn;) goesOn = widen();
  return tokens[next - 1] && { start: tokens[first]!.start, end: tokens[next - 1]!.end };
}
