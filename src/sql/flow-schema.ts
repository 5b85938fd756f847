import { pathKey, pathText, type Path, type PathStep } from '../message/field-path.ts';
import { WHOLE_VALUE } from '../message/json-fields.ts';
import { EVERY_ITEM, Shape } from '../message/json-shape.ts';
import { ALL_KINDS, fieldKinds as Kind } from '../message/json-kinds.ts';
import type { ColumnType } from '../message/rows.ts';
import {
  classesOf,
  classOf,
  columnType,
  declaredKinds,
  kindName,
  storedType,
  typeOf,
  type Column,
  type Declared,
} from './column.ts';
import { fold } from './database.ts';
import { FlowTable, type FlowColumn } from './flow-table.ts';
import type { FlowUses } from './flow-uses.ts';
import { META } from './metadata.ts';

/**
 * Limits for a query that takes all columns: their number, and the bytes of their names altogether. Each column costs
 * time for every batch, and every row its name. A message that would exceed a limit is rejected.
 */
const MAX_COLUMNS = 500;
const MAX_NAMES_BYTES = 16 * 1024;
const MAX_NAME_LENGTH = 1024;

/** Names that SQL writes like columns but that are not columns, unless messages have such fields. */
const VALUES = ['current_date', 'current_time', 'current_timestamp', 'localtime', 'localtimestamp'];

/** A kind of value that a column has not had before. */
export interface Candidate {
  /** The path of the column; the message may spell it differently. */
  readonly path: Path;
  readonly kind: number;
}

/** True if most senders show the candidate's type of the column: `one` against `others`. */
export type Prefers = (key: string, one: string, others: readonly string[]) => boolean;

/** A column whose type changed. */
export interface Widened {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/** A column of the table of messages of JSON. */
export interface TableColumn extends FlowColumn {
  readonly path: Path;
}

/**
 * The columns of the table that a query reads: the declared ones, and those that messages have shown so far. A schema
 * never changes: a schema with more columns is a new object.
 */
export class FlowSchema {
  readonly #uses: FlowUses;
  /** By `pathKey`. */
  readonly #columns: ReadonlyMap<string, Column>;
  #table: { readonly columns: readonly TableColumn[]; readonly flow: FlowTable } | undefined;

  private constructor(uses: FlowUses, columns: ReadonlyMap<string, Column>) {
    this.#uses = uses;
    this.#columns = columns;
  }

  static declare(uses: FlowUses, declared: ReadonlyMap<string, Declared>): FlowSchema {
    const columns = new Map<string, Column>();
    const { names } = uses.analysis;
    for (const [name, { sql, type }] of declared) {
      const isUsed = uses.takesAll || names.has(fold(name));
      const as = names.get(fold(name)) ?? name;
      const path: Path = [name];
      uses.declared.set(fold(name), path);
      if (isUsed)
        columns.set(pathKey(path), {
          path,
          as,
          kinds: Kind.NULL,
          declared: sql,
          converts: type,
          shown: false,
        });
    }
    const whole = names.get(fold(WHOLE_VALUE[0]));
    if (uses.analysis.readsWhole && whole !== undefined && !columns.has(pathKey(WHOLE_VALUE)))
      columns.set(pathKey(WHOLE_VALUE), { path: WHOLE_VALUE, as: whole, kinds: ALL_KINDS, shown: true });
    return new FlowSchema(uses, columns);
  }

  /** True if a message without a field `__value__` is the value of that column, whole. */
  isWhole(path: Path): boolean {
    const column = this.#uses.analysis.readsWhole && path.length === 1 ? this.column(path) : undefined;
    return column?.path[0] === WHOLE_VALUE[0] && column.declared === undefined;
  }

  /** Paths into fields that the query reads. */
  get paths(): Path[] {
    return this.#uses.pathColumns.map(({ path }) => path);
  }

  get columns(): Iterable<Column> {
    return this.#columns.values();
  }

  /** The columns of the table of messages of JSON. Those that are only passed on are not in it. */
  get tableColumns(): readonly TableColumn[] {
    return this.#tabled.columns;
  }

  get table(): FlowTable {
    return this.#tabled.flow;
  }

  get #tabled(): { readonly columns: readonly TableColumn[]; readonly flow: FlowTable } {
    if (this.#table !== undefined) return this.#table;
    const columns: TableColumn[] = [];
    const add = (path: Path, as: string, type: ColumnType, column?: Column): void => {
      const { declared, converts } = column ?? {};
      columns.push({ path, name: pathText(path), as, type, declared, converts, isWritten: true });
    };
    for (const column of this.#columns.values()) {
      const { path, as } = column;
      if (path.length === 1 && !this.isPassedOn(path)) add(path, as, storedType(column), column);
    }
    for (const { path, form, as, isComputed } of this.#uses.pathColumns) {
      if (
        path.length === 1 ||
        !this.isParted(path[0]) ||
        (this.#uses.analysis.items !== undefined && !isComputed)
      )
        continue;
      const column = this.column(path);
      const kind = form === 'json' ? 'json' : 'varchar';
      if (form !== 'value') add(path, as, { kind });
      else add(path, as, column === undefined ? { kind: 'null' } : storedType(column));
    }
    for (const { path, as } of this.#uses.carried)
      if (this.isSpelled(path)) add(this.named(path) ?? path, as, { kind: 'json' });
    return (this.#table = { columns, flow: new FlowTable(columns) });
  }

  column(path: Path): Column | undefined {
    return this.#columns.get(pathKey(path));
  }

  /** True if a row can have the value from its message, without the database. */
  isGiven(path: Path): boolean {
    if (path.length === 1 && this.column(path) === undefined && VALUES.includes(fold(path[0]))) return false;
    // Otherwise the database reads the parts from the whole.
    const isRead = !this.#uses.hasParts(path) || this.isParted(path[0]);
    const column = this.column(path);
    const isKept = column?.declared === undefined || storedType(column) === column.converts;
    return isKept && isRead;
  }

  /** True if the database need not have the column. Values of a declared type are checked in any case. */
  isPassedOn(path: Path): boolean {
    return this.column(path)?.declared === undefined && this.isGiven(path) && this.#uses.isPassedOn(path);
  }

  /** The type that the values of a passed field have in rows. */
  passedType(path: Path): ColumnType {
    const column = this.column(path);
    if (!this.#uses.isTyped) return { kind: 'json' };
    return column === undefined ? { kind: 'null' } : storedType(column);
  }

  /**
   * True if the query reads parts of the field by their paths. A string may hold JSON of its own, which the database
   * reads, and a declared type is the database's too.
   */
  isParted(name: string): boolean {
    const path = this.named([name]) ?? [name];
    const { kinds = 0, declared } = this.column(path) ?? {};
    return declared === undefined && this.#uses.hasParts(path) && (kinds & Kind.STRING) === 0;
  }

  /** True if the table has the field as it is spelled, where the query only carries it on. */
  isSpelled(path: Path): boolean {
    return this.column(this.named(path) ?? path)?.declared === undefined;
  }

  /** Columns that the query names but the table lacks: folded names, with the query's spelling. */
  get missing(): Map<string, string> {
    return this.missingBeside(this.tableColumns.map(({ as }) => as));
  }

  /** True if the query is meant for messages of JSON and others: it names `__value__`, or JSON has shown a field. */
  get isMixed(): boolean {
    const isShown = [...this.#columns.values()].some(({ path, shown }) => shown && !this.isWhole(path));
    return isShown || this.#uses.analysis.names.has(WHOLE_VALUE[0]);
  }

  /** The same for a table with the columns `names`. */
  missingBeside(columns: readonly string[]): Map<string, string> {
    const { names, own } = this.#uses.analysis;
    const there = new Set(columns.map(fold));
    const isMissing = (key: string): boolean =>
      !own.has(key) && !there.has(key) && !isReserved(key) && !VALUES.includes(key);
    const missing = new Map([...names].filter(([key]) => isMissing(key)));
    for (const { path, as } of this.#uses.pathColumns)
      if ((path.length === 1 || this.isParted(path[0])) && !there.has(fold(as))) missing.set(fold(as), as);
    return missing;
  }

  /** Columns and paths that the query names and no message has had, as the query spells them. */
  get unseen(): string[] {
    const { names, own } = this.#uses.analysis;
    const seen = new Set(
      [...this.#columns.values()].filter(({ shown }) => shown).map(({ path }) => pathKey(path)),
    );
    const unseen = [...names].flatMap(([key, name]) =>
      own.has(key) ||
      isReserved(key) ||
      VALUES.includes(key) ||
      seen.has(pathKey(this.named([name]) ?? [name]))
        ? []
        : [name],
    );
    for (const { path } of this.#uses.pathColumns)
      if (seen.has(pathKey(this.named([path[0]]) ?? [path[0]])) && !seen.has(pathKey(path)))
        unseen.push(pathText(path));
    return [...new Set(unseen)];
  }

  /** True if the query may read JSON from text, whose depth has not been checked. */
  get parsesText(): boolean {
    return this.#uses.analysis.parsesText;
  }

  /** True if every field is a column. */
  get takesAll(): boolean {
    return this.#uses.takesAll;
  }

  /** True if the query cannot see the field. */
  ignores(name: string): boolean {
    const { names } = this.#uses.analysis;
    return !this.#uses.takesAll && (!names.has(fold(name)) || isReserved(fold(name)));
  }

  /**
   * The column that a value is if the query, or `schema`, names one like it: the one of its own spelling, or one that
   * differs in case. SQL does not tell names that differ only in case apart.
   */
  named(path: Path): Path | undefined {
    if (path.length > 1) {
      const isAlike = (step: PathStep, index: number): boolean =>
        typeof step === 'string' ? fold(step) === fold(String(path[index])) : step === path[index];
      const alike = this.#uses.pathColumns.flatMap(({ path: each }) =>
        each.length === path.length && each.every(isAlike) ? [each] : [],
      );
      return alike.find((each) => pathKey(each) === pathKey(path)) ?? alike[0];
    }
    if (this.#uses.variant(path[0]) !== undefined) return path;
    const key = fold(path[0]);
    const written = this.#uses.analysis.names.get(key);
    return this.#uses.declared.get(key) ?? (written === undefined ? undefined : [written]);
  }

  /** The votes that a candidate has for a column that may be in question. */
  choices(candidate: Candidate): string[] {
    const { path, kind } = candidate;
    const column = this.column(path);
    const contest = this.#contest(candidate);
    if (contest !== undefined) return [contest.challenger];
    const opens = column === undefined && this.#isInQuestion(path) && kind !== Kind.NULL;
    return opens ? [classOf(kind)] : [];
  }

  /** The present type of the column, in the same terms. */
  held(path: Path): string[] {
    const column = this.column(path);
    if (column === undefined || columnType(column.kinds) === undefined) return [];
    return classesOf(column.kinds).slice(0, 1);
  }

  /** True if the candidate's kind would change the class of a column's values. */
  isContested(candidate: Candidate): boolean {
    return this.#contest(candidate) !== undefined;
  }

  /** The two sides of the vote, if the candidate's kind would change the class of values; otherwise undefined. */
  #contest({ path, kind }: Candidate): { challenger: string; holders: readonly string[] } | undefined {
    const column = this.column(path);
    if (column === undefined || !this.#isConflict(column, kind)) return undefined;
    const challenger = classOf(kind);
    const holders = classesOf(column.kinds);
    return { challenger: holders.includes(challenger) ? `other ${challenger}` : challenger, holders };
  }

  #isInQuestion(path: Path): boolean {
    return this.#uses.isComputed(path) || (path.length === 1 && this.#uses.hasParts(path));
  }

  /** True if the column, which is not declared, must keep one class of values. */
  #isConflict({ path, kinds, declared }: Column, kind: number): boolean {
    if (
      kind === Kind.NULL ||
      declared !== undefined ||
      (kinds & kind) === kind ||
      columnType(kinds) === undefined
    )
      return false;
    // Text may be JSON of its own, whose parts the database reads.
    const isText = (each: number): boolean => (each & Kind.STRING) !== 0;
    if (path.length === 1 && this.#uses.hasParts(path) && isText(kinds) !== isText(kind)) return true;
    const together = kinds | kind;
    if (columnType(together) !== 'JSON') return false;
    // In JSON, equal numbers have equal texts, unless only one of them has a fraction.
    return this.#uses.isComputed(path) || (this.#uses.isMatched(path) && (together & Kind.FLOAT) !== 0);
  }

  /** The schema with the candidate, or why the query cannot have it. */
  with(candidate: Candidate, prefers: Prefers): FlowSchema | string {
    const { path, kind } = candidate;
    const known = this.column(path);
    if (known === undefined) {
      const objection = this.#objectionToName(path);
      if (objection !== undefined) return objection;
      const kinds = this.#uses.isAsWritten(path) ? ALL_KINDS : kind;
      const shape = this.#emptyShape(path);
      return this.#with({ path, as: this.#asOf(path), kinds, shown: true, ...(shape && { shape }) });
    }
    const kinds = this.#kindsWith(known, candidate, prefers);
    if (typeof kinds === 'string') return kinds;
    if (kinds === known.kinds && known.shown) return this;
    // The shape of a column of another class says nothing about this one.
    const shape = (known.kinds & ~kinds) === 0 ? known.shape : this.#emptyShape(path);
    return this.#with({ ...known, kinds, shown: true, ...(shape && { shape }) });
  }

  /** The shape of a column that has had no object or array yet: the members that the query names. */
  #emptyShape(path: Path): Shape | undefined {
    const members = this.#uses.membersOf(path);
    let shape = members && new Shape(fold);
    for (const steps of members ?? []) {
      const places = steps.map((step) => (typeof step === 'number' ? EVERY_ITEM : step));
      shape = shape?.with(places, Kind.NULL) ?? shape;
    }
    return shape;
  }

  /** The schema with other shapes of columns. */
  withShapes(shapes: ReadonlyMap<Column, Shape>): FlowSchema {
    const columns = new Map(this.#columns);
    for (const [column, shape] of shapes) columns.set(pathKey(column.path), { ...column, shape });
    return new FlowSchema(this.#uses, columns);
  }

  /** The schema without columns that no message needs; declared ones stay. */
  without(paths: Iterable<Path>): FlowSchema {
    const columns = new Map(this.#columns);
    for (const path of paths)
      if (this.column(path)?.declared === undefined && !this.isWhole(path)) columns.delete(pathKey(path));
    return columns.size === this.#columns.size ? this : new FlowSchema(this.#uses, columns);
  }

  #with(column: Column): FlowSchema {
    const { path } = column;
    const schema = new FlowSchema(this.#uses, new Map(this.#columns).set(pathKey(path), column));
    // Statements for the table need not be prepared again.
    if (this.isPassedOn(path) && schema.isPassedOn(path) && !this.#uses.hasParts(path))
      schema.#table = this.#tabled;
    return schema;
  }

  /** The name of a new column in SQL, which no other has. */
  #asOf([name]: Path): string {
    const variant = this.#uses.variant(name);
    if (variant !== undefined) return variant;
    const written = this.#uses.analysis.names.get(fold(name));
    if (written === name) return name;
    const taken = new Set([...this.#columns.values()].map(({ as }) => fold(as)));
    if (written !== undefined) taken.add(fold(written));
    let as = name;
    for (let number = 1; taken.has(fold(as)); number++) as = `${name}_${number}`;
    return as;
  }

  #objectionToName(path: Path): string | undefined {
    const [name] = path;
    const key = fold(name);
    if (path.length > 1) return undefined;
    if (isReserved(key)) return 'the query takes all fields, and this name is reserved for metadata';
    if (name === '' || name.includes('\0') || !name.isWellFormed())
      return 'the query takes all fields, and no SQL column can have this name';
    if (name.length > MAX_NAME_LENGTH)
      return `the query takes all fields, and this name is longer than ${MAX_NAME_LENGTH}`;
    if (this.#uses.analysis.own.has(key))
      return 'the query gives this name to a value of its own and uses it; put the table’s name before it in the query to have the field, or declare it in `schema`';
    if (!this.#uses.takesAll) return undefined;
    if (this.#columns.size >= MAX_COLUMNS)
      return `the stream has shown ${MAX_COLUMNS} different fields already, and the query takes all; name the columns that you need`;
    let bytes = Buffer.byteLength(name);
    for (const { path: each } of this.#columns.values()) bytes += Buffer.byteLength(each[0]);
    if (bytes <= MAX_NAMES_BYTES) return undefined;
    return `the names of the fields that the stream has shown would take more than ${MAX_NAMES_BYTES} bytes, and the query takes all; name the columns that you need`;
  }

  #kindsWith(column: Column, candidate: Candidate, prefers: Prefers): number | string {
    const { kinds, declared, converts } = column;
    const { kind } = candidate;
    const contest = this.#contest(candidate);
    if (contest !== undefined) {
      if (prefers(pathKey(column.path), contest.challenger, contest.holders))
        return (kinds & Kind.NULL) | kind;
      return `${kindName(kind)} does not fit the type ${columnType(kinds)} that most senders give the column, and the query computes with it; declare its type in \`schema\` if it may have several`;
    }
    if (
      declared === undefined ||
      converts !== undefined ||
      (kinds & kind) === kind ||
      (declaredKinds(declared) & kind) === kind
    )
      return kinds | kind;
    return `${kindName(kind)} does not fit the declared type ${declared}`;
  }

  /** The columns that have a type here and had a different one in `before`. */
  widenedSince(before: FlowSchema): Widened[] {
    const widened: Widened[] = [];
    for (const [key, column] of this.#columns) {
      const earlier = before.#columns.get(key);
      if (earlier === undefined || earlier === column) continue;
      const [from, to] = [typeOf(earlier), typeOf(column)];
      if (from !== undefined && to !== undefined && from !== to)
        widened.push({ name: pathText(column.path), from, to });
    }
    return widened;
  }
}

/** True for (folded) names that no field can have as a column. */
export function isReserved(name: string): boolean {
  return META.includes(name);
}
