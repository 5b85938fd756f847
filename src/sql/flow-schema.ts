import { fieldKinds as Kind } from '../message/json-fields.ts';
import type { QueryAnalysis } from './analyse.ts';
import { fold } from './database.ts';

/**
 * A query that takes all columns gets at most so many, because each costs every batch time; a message that would add
 * another is rejected.
 */
export const MAX_COLUMNS = 500;
const MAX_NAME_LENGTH = 1024;

/** What SQL writes like columns and are none, unless messages have such fields. */
const VALUES = ['current_date', 'current_time', 'current_timestamp', 'localtime', 'localtimestamp'];

/** The metadata columns, and the number of a message's row. */
export const META = ['__meta_source', '__meta_ingest_time', '__meta_ext'];
export const ROW = '__row__';

const NUMBERS = Kind.INT | Kind.LONG | Kind.BIGINT | Kind.FLOAT | Kind.HUGE;

export interface Column {
  readonly name: string;
  /** The kinds of JSON value that it has had. */
  readonly kinds: number;
  /** The type that the user declared, as DuckDB names it, or undefined when it follows the data. */
  readonly declared?: string;
}

/** A kind of value that a field has not had before. */
export interface Candidate {
  readonly name: string;
  readonly kind: number;
}

/** A column whose type changed. */
export interface Widened {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/**
 * The columns of the table that a query reads: what the user declared, and what messages have shown so far.
 * It never changes: one with more columns is another one.
 */
export class FlowSchema {
  readonly #analysis: QueryAnalysis;
  readonly #columns: ReadonlyMap<string, Column>;

  private constructor(analysis: QueryAnalysis, columns: ReadonlyMap<string, Column>) {
    this.#analysis = analysis;
    this.#columns = columns;
  }

  /** `declared`: types as DuckDB names them. */
  static declare(analysis: QueryAnalysis, declared: ReadonlyMap<string, string>): FlowSchema {
    const columns = new Map<string, Column>();
    for (const [name, type] of declared) {
      const used = takesAll(analysis) || analysis.names.has(fold(name));
      if (used) columns.set(fold(name), { name, kinds: Kind.NULL, declared: type });
    }
    return new FlowSchema(analysis, columns);
  }

  get columns(): Iterable<Column> {
    return this.#columns.values();
  }

  /** Columns that the query names and no message has shown, folded, with how the query writes them. */
  get missing(): Map<string, string> {
    const { names, own } = this.#analysis;
    const isMissing = (key: string): boolean =>
      !own.has(key) && !this.#columns.has(key) && !isReserved(key) && !VALUES.includes(key);
    return new Map([...names].filter(([key]) => isMissing(key)));
  }

  /** True when the query may read JSON from text, whose depth nobody has looked at. */
  get parsesText(): boolean {
    return this.#analysis.parsesText;
  }

  /** True when the query cannot see the field. */
  ignores(name: string): boolean {
    const { names } = this.#analysis;
    return !takesAll(this.#analysis) && (!names.has(fold(name)) || isReserved(fold(name)));
  }

  /** Why the field cannot have this kind of value, or undefined when it may, as far as types go. */
  objection({ name, kind }: Candidate): string | undefined {
    const { own, computed } = this.#analysis;
    const key = fold(name);
    const column = this.#columns.get(key);
    if (column === undefined) {
      if (isReserved(key)) return 'the query takes all fields, and this name is that of metadata';
      if (name === '' || name.includes('\0'))
        return 'the query takes all fields, and in SQL no column can have this name';
      if (name.length > MAX_NAME_LENGTH)
        return `the query takes all fields, and this name is longer than ${MAX_NAME_LENGTH}`;
      if (own.has(key))
        return 'the query gives this name to a value of its own and uses it; put the table’s name before it in the query to have the field, or declare it in `schema`';
      if (this.#columns.size < MAX_COLUMNS) return undefined;
      return `the stream has shown ${MAX_COLUMNS} different fields already, and the query takes all; name the columns that you need`;
    }
    if (column.name !== name) {
      return `it differs from the field ${column.name} only in case, and SQL does not tell them apart`;
    }
    if ((column.kinds & kind) === kind) return undefined;
    if (column.declared !== undefined) {
      if ((declaredKinds(column.declared) & kind) === kind) return undefined;
      return `${kindName(kind)} does not fit the declared type ${column.declared}`;
    }
    const before = columnType(column.kinds);
    const after = columnType(column.kinds | kind);
    if (before === undefined || after !== 'JSON' || before === 'JSON') return undefined;
    if (computed !== 'all' && !computed.has(key)) return undefined;
    return `${kindName(kind)} does not fit the type ${before} that earlier messages gave the column, and the query computes with it; declare its type in \`schema\` if it may have several`;
  }

  /** `candidate`: one without an objection. */
  with({ name, kind }: Candidate): FlowSchema {
    const before = this.#columns.get(fold(name));
    const columns = new Map(this.#columns);
    columns.set(fold(name), { name, ...before, kinds: (before?.kinds ?? 0) | kind });
    return new FlowSchema(this.#analysis, columns);
  }

  /** The columns that have a type here and had another in `before`. */
  widenedSince(before: FlowSchema): Widened[] {
    const widened: Widened[] = [];
    for (const [key, column] of this.#columns) {
      const earlier = before.#columns.get(key);
      if (earlier === undefined || earlier === column) continue;
      const [from, to] = [typeOf(earlier), typeOf(column)];
      if (from !== undefined && to !== undefined && from !== to)
        widened.push({ name: column.name, from, to });
    }
    return widened;
  }
}

/** True when every field is a column. Rows that are whole messages need none but those that the query names. */
function takesAll({ star, rows }: QueryAnalysis): boolean {
  return star && rows !== 'messages';
}

/** True for names (folded) that no field can have as a column. */
export function isReserved(name: string): boolean {
  return name === ROW || META.includes(name);
}

export function typeOf(column: Column): string | undefined {
  return column.declared ?? columnType(column.kinds);
}

export function isNested(type: string): boolean {
  return /^(STRUCT|MAP|UNION)\b|\]$/.test(type);
}

/** The narrowest type that holds the kinds exactly; undefined for a column that was only ever null. */
function columnType(kinds: number): string | undefined {
  const seen = kinds & ~Kind.NULL;
  const only = (mask: number): boolean => (seen & ~mask) === 0;
  if (seen === 0) return undefined;
  if (only(Kind.BOOL)) return 'BOOLEAN';
  if (only(Kind.STRING)) return 'VARCHAR';
  if (only(Kind.INT | Kind.LONG)) return 'BIGINT';
  if (only(Kind.INT | Kind.LONG | Kind.BIGINT)) return 'HUGEINT';
  // A double holds integers of up to 15 digits exactly; larger ones beside fractions keep their digits as JSON.
  if (only(Kind.INT | Kind.FLOAT)) return 'DOUBLE';
  return 'JSON';
}

/** True when all that the column has had is numbers. */
export function isNumeric(column: Column): boolean {
  return (column.kinds & ~(NUMBERS | Kind.NULL)) === 0;
}

/** True when the column's values, taken from JSON as `type`, need no check: none can be out of its range. */
export function isExact(column: Column, type: string): boolean {
  return type === 'JSON' || type === 'VARCHAR' || type === columnType(column.kinds);
}

/** Kinds that may fit a type; a string does if it reads as one. */
function declaredKinds(type: string): number {
  const scalar = NUMBERS | Kind.BOOL | Kind.STRING | Kind.NULL;
  if (type === 'JSON') return scalar | Kind.NESTED;
  if (isNested(type)) return Kind.NESTED | Kind.NULL;
  if (type === 'VARCHAR') return scalar;
  if (type === 'BOOLEAN') return Kind.BOOL | Kind.STRING | Kind.NULL;
  if (/^U?(TINY|SMALL|BIG|HUGE)INT$|^U?INTEGER$/.test(type))
    return Kind.STRING | Kind.NULL | (NUMBERS & ~Kind.FLOAT);
  if (/^(DOUBLE|FLOAT|DECIMAL\(.*\)|BIGNUM)$/.test(type)) return NUMBERS | Kind.STRING | Kind.NULL;
  return Kind.STRING | Kind.NULL;
}

function kindName(kind: number): string {
  if ((kind & Kind.NULL) !== 0) return 'null';
  if ((kind & Kind.BOOL) !== 0) return 'a boolean';
  if ((kind & Kind.STRING) !== 0) return 'a string';
  if ((kind & Kind.NESTED) !== 0) return 'an object or array';
  return (kind & Kind.FLOAT) !== 0 ? 'a number with a fraction' : 'an integer';
}
