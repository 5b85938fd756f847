import type { ColumnType, StructField } from '../message/rows.ts';
import { isNested } from './column.ts';
import { fold, identifier, literal } from './database.ts';
import type { ColumnPlace } from './evaluator/condition.ts';
import { META } from './metadata.ts';
import { metadataFields } from './metadata-values.ts';
import { columnName, ROW_NUMBER } from './row-table-names.ts';

/** A column of the table that a query reads. */
export interface FlowColumn {
  /** The field, for messages about it. */
  readonly name: string;
  /** Its name in SQL. */
  readonly as: string;
  /** The type of the values that the table has. */
  readonly type: ColumnType;
  /** The type to which SQL converts them, if the file declares one. */
  readonly declared: string | undefined;
  /** The same as rows have it, if the values are checked before the database gets them. */
  readonly converts?: ColumnType | undefined;
  /** True if the values are text or JSON of a message. */
  readonly isWritten: boolean;
}

export interface FlowOptions {
  /** True if the metadata of a message is columns. */
  readonly hasMetadata: boolean;
  readonly missing: readonly string[];
  readonly nullOf: (name: string) => string;
  /**
   * True if a probe looks at the rows: nothing in them fails, and they have another column, `__fault__`: what is wrong
   * with a value of the message, or null.
   */
  readonly probe?: boolean;
  /** The name of a column for the number of the message, if rows carry it. */
  readonly row?: string | undefined;
}

/** A table has at least one column. */
const NO_COLUMN = '__no_column__';

/** The table that a query reads, as a SELECT from a `RowTable`. */
export class FlowTable {
  /** The columns of the `RowTable`; the last ones are `metadataFields`. */
  readonly fields: readonly StructField[];
  readonly #columns: readonly FlowColumn[];
  /** The fields whose names differ only in case from others: their names in SQL, and as the messages have them. */
  readonly renamed: ReadonlyMap<string, string>;
  /** Columns, by their names in SQL, whose values the database makes: it converts them to a declared type. */
  readonly converted: ReadonlySet<string>;
  readonly #absent: readonly { readonly as: string; readonly declared: string }[];

  /** `absent`: declared columns that the messages lack. */
  constructor(
    columns: readonly FlowColumn[],
    absent: readonly { readonly as: string; readonly declared: string }[] = [],
  ) {
    this.#columns = columns;
    this.#absent = absent;
    const isRenamed = ({ name, as }: FlowColumn): boolean => fold(as) !== fold(name);
    this.renamed = new Map(columns.filter(isRenamed).map(({ name, as }) => [as, name]));
    this.converted = new Set([...columns.filter(isConverted), ...absent].map(({ as }) => as));
    this.fields = [...columns.map(({ name, type }) => ({ name, type })), ...metadataFields];
  }

  /** The column of this folded name, of the type that SQL sees; undefined if SQL converts it, or there is none. */
  place(name: string): ColumnPlace | undefined {
    const index = this.#columns.findIndex(({ as }) => fold(as) === name);
    const column = this.#columns[index];
    return column === undefined || isConverted(column) ? undefined : { index, type: column.type };
  }

  /** The columns that a `*` lists. */
  names({ hasMetadata, missing, row }: FlowOptions): string[] {
    const names = [...this.#columns, ...this.#absent].map(({ as }) => as);
    names.push(...missing, ...(hasMetadata ? META : []), ...(row === undefined ? [] : [row]));
    return names.length === 0 ? [NO_COLUMN] : names;
  }

  /**
   * `table`: the name of the `RowTable`. `missing` are columns that the messages lack; `nullOf` gives the SQL of a
   * column without a value.
   */
  sql(table: string, { hasMetadata, missing, nullOf, probe = false, row }: FlowOptions): string {
    const selected: string[] = [];
    const faults: string[] = [];
    for (const [index, column] of this.#columns.entries()) {
      const { strict, lenient, fault } = read(column, columnName(index), nullOf);
      selected.push(`${probe ? lenient : strict} AS ${identifier(column.as)}`);
      if (fault !== undefined) faults.push(fault);
    }
    for (const { as, declared } of this.#absent) selected.push(`NULL::${declared} AS ${identifier(as)}`);
    for (const name of missing) selected.push(`${nullOf(name)} AS ${identifier(name)}`);
    const count = this.#columns.length;
    if (hasMetadata) selected.push(...META.map((name, index) => `${columnName(count + index)} AS ${name}`));
    if (probe) selected.push(`coalesce(${[...faults, 'NULL'].join(', ')}) AS __fault__`);
    if (row !== undefined) selected.push(`${ROW_NUMBER} AS ${identifier(row)}`);
    if (selected.length === 0) selected.push(`NULL AS ${NO_COLUMN}`);
    return `SELECT ${selected.join(', ')} FROM ${table}()`;
  }
}

/** True if SQL converts the values, which are not of the declared type before. */
function isConverted({ type, declared, converts }: FlowColumn): boolean {
  return declared !== undefined && type !== converts;
}

interface Reading {
  /** Converts the value to the column's type. A failing conversion is an error: a NULL would look like an absent field. */
  readonly strict: string;
  /** The same, but NULL instead of an error. */
  readonly lenient: string;
  /** The fault of the value, as text that names the field, or NULL. */
  readonly fault?: string;
}

function read(column: FlowColumn, value: string, nullOf: (name: string) => string): Reading {
  const { name, type, declared, converts, isWritten } = column;
  if (type.kind === 'null') {
    const none = declared === undefined ? nullOf(name) : `NULL::${declared}`;
    return { strict: none, lenient: none };
  }
  if (declared === undefined || type === converts) return { strict: value, lenient: value };
  const failure = `${literal(`field ${name}: `)} || left(CAST(${value} AS VARCHAR), 100) || ${literal(` does not convert to the declared type ${declared}`)}`;
  if (isWritten && converts === undefined && isNested(declared)) {
    const strict = `from_json_strict(${value}, ${literal(JSON.stringify(declared))})`;
    const fault = `CASE WHEN ${value} IS NOT NULL AND TRY((${strict}) IS NULL) IS NULL THEN ${failure} END`;
    return { strict, lenient: `TRY(${strict})`, fault };
  }
  // TRY_CAST makes NULL of a part of a nested value.
  const cast = isNested(declared)
    ? `TRY(CAST(${value} AS ${declared}))`
    : `TRY_CAST(${value} AS ${declared})`;
  const exact = isWritten ? undefined : losesNothing(value, cast, type, declared);
  const lenient = exact === undefined ? cast : `CASE WHEN ${exact} THEN ${cast} END`;
  return {
    strict: `CASE WHEN ${value} IS NULL THEN NULL ELSE coalesce(${lenient}, error(${failure})) END`,
    lenient,
    fault: `CASE WHEN ${value} IS NOT NULL AND ${lenient} IS NULL THEN ${failure} END`,
  };
}

const NUMBERS = /^(?:u?(?:tiny|small|big|huge)int|u?integer|decimal|double|float|bignum)$/;

/**
 * The condition under which a cast of a value of the type rounds and cuts nothing; undefined if it never does. Values of
 * messages of JSON have been checked before.
 */
function losesNothing(
  value: string,
  cast: string,
  { kind }: ColumnType,
  declared: string,
): string | undefined {
  const isText = kind === 'varchar';
  if (/^(?:U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER|DECIMAL\(.*\))$/.test(declared)) {
    if (isText) return `CAST(${cast} AS DOUBLE) = TRY_CAST(${value} AS DOUBLE)`;
    return NUMBERS.test(kind) ? `${cast} = ${value}` : undefined;
  }
  if (!isText) return undefined;
  const matches = (pattern: string): string => `regexp_matches(${value}, ${literal(pattern)})`;
  if (declared === 'DATE') {
    const isMidnight = matches(String.raw`[T\s]\s*00?:00(:00(\.0+)?)?\s*(Z|[+-]00?(:?00)*)?\s*$`);
    return `(NOT ${matches(String.raw`[0-9][T\s]\s*[^\s(]`)} OR ${isMidnight})`;
  }
  if (!/^TIME(?:STAMP)?(?:_\w+)?$/.test(declared)) return undefined;
  const hasOffset = matches(String.raw`[0-9]:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?\s*[+-][0-9]`);
  const isUtc = matches(String.raw`[+-]00?(:?00)*\s*$`);
  const hasDate = declared.startsWith('TIMESTAMP') ? 'false' : matches('[0-9]-[0-9]');
  return `(NOT ${hasDate} AND (NOT ${hasOffset} OR ${isUtc}))`;
}
