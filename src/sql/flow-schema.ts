import { fieldKinds as Kind } from '../message/json-kinds.ts';
import type { QueryAnalysis } from './analyse.ts';
import { classesOf, classOf, columnType, declaredKinds, kindName, typeOf, type Column } from './column.ts';
import { fold } from './database.ts';
import { META, ROW } from './metadata.ts';

/**
 * Limits for a query that takes all columns: their number, and the bytes of their names altogether. Each column costs
 * time for every batch, and every row its name. A message that would exceed a limit is rejected.
 */
const MAX_COLUMNS = 500;
const MAX_NAMES_BYTES = 16 * 1024;
const MAX_NAME_LENGTH = 1024;

/** Names that SQL writes like columns but that are not columns, unless messages have such fields. */
const VALUES = ['current_date', 'current_time', 'current_timestamp', 'localtime', 'localtimestamp'];

/** A kind of value, or a spelling of its name, that a field has not had before. */
export interface Candidate {
  readonly name: string;
  readonly kind: number;
}

/** True if most senders show the candidate's type or spelling of the column: `one` against `others`. */
export type Prefers = (key: string, one: string, others: readonly string[]) => boolean;

/** A column whose type changed. */
export interface Widened {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/**
 * The columns of the table that a query reads: the declared ones, and those that messages have shown so far. A schema
 * never changes: a schema with more columns is a new object.
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
      const as = analysis.names.get(fold(name)) ?? name;
      if (used) columns.set(fold(name), { name, as, kinds: Kind.NULL, declared: type, shown: false });
    }
    return new FlowSchema(analysis, columns);
  }

  get columns(): Iterable<Column> {
    return this.#columns.values();
  }

  column(name: string): Column | undefined {
    return this.#columns.get(fold(name));
  }

  /** Columns that the query names but no message has shown: folded names, with the query's spelling. */
  get missing(): Map<string, string> {
    const { names, own } = this.#analysis;
    const isMissing = (key: string): boolean =>
      !own.has(key) && !this.#columns.has(key) && !isReserved(key) && !VALUES.includes(key);
    return new Map([...names].filter(([key]) => isMissing(key)));
  }

  /** True if the query may read JSON from text, whose depth has not been checked. */
  get parsesText(): boolean {
    return this.#analysis.parsesText;
  }

  /** True if the query cannot see the field. */
  ignores(name: string): boolean {
    const { names } = this.#analysis;
    return !takesAll(this.#analysis) && (!names.has(fold(name)) || isReserved(fold(name)));
  }

  /**
   * A column’s name as the file spells it: a field with exactly that name is the column, even if others resemble it.
   */
  spellingOf(name: string): string | undefined {
    const column = this.#columns.get(fold(name));
    return this.#analysis.names.get(fold(name)) ?? (column?.declared === undefined ? undefined : column.as);
  }

  /** The votes that a candidate has for a column that may be in question. */
  choices(candidate: Candidate): string[] {
    const { name, kind } = candidate;
    const choices: string[] = [];
    const column = this.column(name);
    const contest = this.#contest(candidate);
    if (contest !== undefined) choices.push(contest.challenger);
    else if (column === undefined && this.#isComputed(fold(name)) && kind !== Kind.NULL)
      choices.push(classOf(kind));
    if (this.spellingOf(name) === undefined) choices.push(spelled(name));
    return choices;
  }

  /** The present type of the column, in the same terms. */
  held(name: string): string[] {
    const column = this.column(name);
    if (column === undefined) return [];
    const choices = columnType(column.kinds) === undefined ? [] : classesOf(column.kinds).slice(0, 1);
    if (this.spellingOf(name) === undefined) choices.push(spelled(column.name));
    return choices;
  }

  /** True if the candidate's kind would change the class of a column's values. */
  isContested(candidate: Candidate): boolean {
    return this.#contest(candidate) !== undefined;
  }

  /** The two sides of the vote, if the candidate's kind would change the class of values; otherwise undefined. */
  #contest({ name, kind }: Candidate): { challenger: string; holders: readonly string[] } | undefined {
    const column = this.column(name);
    if (column === undefined || !this.#isConflict(column, kind)) return undefined;
    const challenger = classOf(kind);
    const holders = classesOf(column.kinds);
    return { challenger: holders.includes(challenger) ? `other ${challenger}` : challenger, holders };
  }

  #isComputed(key: string): boolean {
    const { computed } = this.#analysis;
    return computed === 'all' || computed.has(key);
  }

  /** True if the column, which is not declared, must keep one class of values. */
  #isConflict({ name, kinds, declared }: Column, kind: number): boolean {
    if (declared !== undefined || (kinds & kind) === kind) return false;
    const key = fold(name);
    const together = kinds | kind;
    if (columnType(kinds) === undefined || columnType(together) !== 'JSON') return false;
    // In JSON, equal numbers have equal texts, unless only one of them has a fraction.
    return this.#isComputed(key) || (this.#analysis.matched.has(key) && (together & Kind.FLOAT) !== 0);
  }

  /** The schema with the candidate, or why the query cannot have it. */
  with(candidate: Candidate, prefers: Prefers): FlowSchema | string {
    const { name, kind } = candidate;
    const key = fold(name);
    const column = this.#columns.get(key);
    if (column === undefined) {
      const objection = this.#objectionToName(name);
      const as = this.#analysis.names.get(key) ?? name;
      return objection ?? this.#with(key, { name, as, kinds: kind, shown: true });
    }
    const kinds = this.#kindsWith(column, candidate, prefers);
    if (typeof kinds === 'string') return kinds;
    const spelling = this.#spellingWith(column, name, prefers);
    if (kinds === column.kinds && spelling === column.name && column.shown) return this;
    const as = this.spellingOf(name) ?? spelling;
    return this.#with(key, { ...column, name: spelling, as, kinds, shown: true });
  }

  /** The schema without columns that no message needs; declared ones stay. */
  without(names: Iterable<string>): FlowSchema {
    const columns = new Map(this.#columns);
    for (const name of names) if (columns.get(fold(name))?.declared === undefined) columns.delete(fold(name));
    return columns.size === this.#columns.size ? this : new FlowSchema(this.#analysis, columns);
  }

  #with(key: string, column: Column): FlowSchema {
    return new FlowSchema(this.#analysis, new Map(this.#columns).set(key, column));
  }

  #objectionToName(name: string): string | undefined {
    const key = fold(name);
    if (isReserved(key)) return 'the query takes all fields, and this name is reserved for metadata';
    if (name === '' || name.includes('\0'))
      return 'the query takes all fields, and no SQL column can have this name';
    if (name.length > MAX_NAME_LENGTH)
      return `the query takes all fields, and this name is longer than ${MAX_NAME_LENGTH}`;
    if (this.#analysis.own.has(key))
      return 'the query gives this name to a value of its own and uses it; put the table’s name before it in the query to have the field, or declare it in `schema`';
    if (!takesAll(this.#analysis)) return undefined;
    if (this.#columns.size >= MAX_COLUMNS)
      return `the stream has shown ${MAX_COLUMNS} different fields already, and the query takes all; name the columns that you need`;
    let bytes = Buffer.byteLength(name);
    for (const column of this.#columns.values()) bytes += Buffer.byteLength(column.name);
    if (bytes <= MAX_NAMES_BYTES) return undefined;
    return `the names of the fields that the stream has shown would take more than ${MAX_NAMES_BYTES} bytes, and the query takes all; name the columns that you need`;
  }

  #kindsWith(column: Column, candidate: Candidate, prefers: Prefers): number | string {
    const { kinds, declared } = column;
    const { kind } = candidate;
    const contest = this.#contest(candidate);
    if (contest !== undefined) {
      if (prefers(fold(column.name), contest.challenger, contest.holders)) return (kinds & Kind.NULL) | kind;
      return `${kindName(kind)} does not fit the type ${columnType(kinds)} that most senders give the column, and the query computes with it; declare its type in \`schema\` if it may have several`;
    }
    if (declared === undefined || (kinds & kind) === kind || (declaredKinds(declared) & kind) === kind)
      return kinds | kind;
    return `${kindName(kind)} does not fit the declared type ${declared}`;
  }

  #spellingWith(column: Column, name: string, prefers: Prefers): string {
    if (name === column.name || !column.shown) return name;
    const wanted = this.spellingOf(name);
    if (wanted !== undefined) return name === wanted ? name : column.name;
    return prefers(fold(name), spelled(name), [spelled(column.name)]) ? name : column.name;
  }

  /** The columns that have a type here and had a different one in `before`. */
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

/**
 * True if every field is a column. For rows that are whole messages, only the columns that the query names are needed.
 */
function takesAll({ star, rows }: QueryAnalysis): boolean {
  return star && rows !== 'messages';
}

/** True for (folded) names that no field can have as a column. */
export function isReserved(name: string): boolean {
  return name === ROW || META.includes(name);
}

const SPELLED = 'spelled ';

/** A spelling as a choice in a vote; the other choices are classes of values. */
function spelled(name: string): string {
  return SPELLED + name;
}

export function isSpelling(choice: string): boolean {
  return choice.startsWith(SPELLED);
}
