import { MillraceError } from '../errors.ts';
import type { Path } from '../message/field-path.ts';
import type { RowColumn } from '../message/rows.ts';
import type { QueryAnalysis } from './analyse.ts';
import { fold } from './database.ts';
import { placesAt, type Flow, type Part, type PassedField, type Source } from './flow-source.ts';
import { metadataColumn } from './metadata.ts';
import type { PathForm } from './reference-paths.ts';

const UNCLEAR =
  'the query gives more columns than its list has, so that they cannot be told apart; name the members that you need instead of `unnest` of an object';

/** Where a row that is made of one message has its columns from. */
type Origin =
  | {
      readonly kind: 'star';
      readonly except: ReadonlySet<string>;
      /** Columns whose values the database converts: their names in the table, and in the query's result. */
      readonly converted: ReadonlyMap<string, string>;
    }
  | { readonly kind: 'passed'; readonly path: Path; readonly form: PathForm; readonly name: string }
  | { readonly kind: 'computed'; readonly name: string; readonly as: string };

export interface Layout {
  readonly origins: readonly Origin[];
  /** The columns that the database computes, by their names in the query's result. */
  readonly computed: ReadonlySet<string>;
}

/**
 * The layout of rows whose query has these columns as its result, without the number of the row. `starred`: the columns
 * of the table, which a `*` lists. Undefined if the database computes all columns.
 * @throws MillraceError if the columns cannot be told apart
 */
export function layoutOf(
  { items, itemNames }: QueryAnalysis,
  flow: Flow,
  columns: readonly string[],
  starred: readonly string[],
): Layout | undefined {
  if (items === undefined || !flow.hasFields) return undefined;
  const origins: Origin[] = [];
  const computed = new Set<string>();
  let next = 0;
  for (const [index, item] of items.entries()) {
    if (item.kind === 'star') {
      const { except } = item;
      const converted = new Map<string, string>();
      for (const as of starred) {
        if (except.has(fold(as))) continue;
        const name = columns[next++] ?? '';
        if (flow.converted.has(as)) converted.set(as, name);
      }
      for (const name of converted.values()) computed.add(name);
      origins.push({ kind: 'star', except, converted });
      continue;
    }
    const name = columns[next++] ?? '';
    if (item.kind === 'passed' && flow.isGiven(item.path)) {
      const { path, form } = item;
      origins.push({ kind: 'passed', path, form, name: item.name === '' ? name : item.name });
    } else {
      computed.add(name);
      if (metadataColumn(name) === undefined)
        origins.push({ kind: 'computed', name, as: itemNames[index] ?? name });
    }
  }
  if (next === columns.length) return { origins, computed };
  throw new MillraceError('MILLRACE_PROCESSOR_FAILED', UNCLEAR);
}

/** The columns of rows: of the messages at `numbers` of the part, and those that the database computed. */
export function layOut(
  { origins }: Layout,
  computed: readonly RowColumn[],
  { source, part, numbers }: { source: Source; part: Part; numbers: readonly number[] },
): RowColumn[] {
  const places = placesAt(part.places, numbers);
  const byName = new Map(computed.map((column) => [column.name, column]));
  const columns: RowColumn[] = [];
  const names = new Set<string>();
  const add = (column: Omit<RowColumn, 'name'>, wanted: string): void => {
    let name = wanted;
    for (let number = 1; names.has(name); number++) name = `${wanted}_${number}`;
    names.add(name);
    columns.push({ ...column, name });
  };
  const pass = ({ type, values }: PassedField, name: string): void =>
    add({ type, values: values(places) }, name);
  for (const origin of origins) {
    if (origin.kind === 'computed') add(byName.get(origin.name)!, origin.as);
    else if (origin.kind === 'passed') pass(source.field(origin.path, origin.form), origin.name);
    else {
      for (const field of source.fields()) {
        const { name, converted } = field;
        if (origin.except.has(fold(name))) continue;
        if (converted === undefined) pass(field, name);
        else add(byName.get(origin.converted.get(converted)!)!, name);
      }
    }
  }
  return columns;
}
