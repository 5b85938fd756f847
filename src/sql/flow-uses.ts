import { pathKey, pathText, type Path, type PathStep } from '../message/field-path.ts';
import type { QueryAnalysis } from './analyse.ts';
import { fold } from './database.ts';
import type { PathColumn } from './path-edits.ts';

/** How a query uses the fields of messages. */
export class FlowUses {
  readonly analysis: QueryAnalysis;
  /** True if the query's rows keep their types. */
  readonly isTyped: boolean;
  /** Paths of declared columns, by their folded names. */
  readonly declared = new Map<string, Path>();
  /** Folded names of fields of which the query reads parts. */
  readonly #parted: ReadonlySet<string>;
  /** Fields whose names differ only in case from others that the query names, with their names in SQL. */
  readonly #variants: ReadonlyMap<string, string>;
  readonly #pathColumns: readonly PathColumn[];
  /** The `pathKey` of paths whose values the query computes with. */
  readonly #computedPaths: ReadonlySet<string>;

  constructor(analysis: QueryAnalysis, isTyped: boolean) {
    this.analysis = analysis;
    this.isTyped = isTyped;
    const pathColumns = analysis.pathColumns.filter(({ path, form }) => path.length > 1 || form === 'value');
    this.#pathColumns = pathColumns;
    this.#parted = new Set(pathColumns.flatMap(({ path }) => (path.length > 1 ? [fold(path[0])] : [])));
    this.#variants = new Map(pathColumns.flatMap(({ path, as }) => (path.length > 1 ? [] : [[path[0], as]])));
    const computed = pathColumns.filter(({ form, isComputed }) => form === 'value' && isComputed);
    this.#computedPaths = new Set(computed.map(({ path }) => pathKey(path)));
  }

  get pathColumns(): readonly PathColumn[] {
    return this.#pathColumns;
  }

  /** Whole fields that the query carries on as they are spelled, besides the columns that they are. */
  get carried(): readonly PathColumn[] {
    return this.analysis.pathColumns.filter(({ path, form }) => path.length === 1 && form === 'json');
  }

  /**
   * True if every field is a column. For rows that are whole messages, only the columns that the query names are needed.
   */
  get takesAll(): boolean {
    return this.analysis.star && this.analysis.rows !== 'messages';
  }

  /** The name in SQL of a field whose name differs only in case from another that the query names. */
  variant(name: string): string | undefined {
    return this.#variants.get(name);
  }

  /** True if the query reads parts of the field. */
  hasParts([name]: Path): boolean {
    return this.#parted.has(fold(name));
  }

  /** True if the query computes with the value: its type matters. */
  isComputed(path: Path): boolean {
    if (path.length > 1 || this.#variants.has(path[0])) return this.#computedPaths.has(pathKey(path));
    const { computed } = this.analysis;
    return computed === 'all' || computed.has(fold(path[0]));
  }

  /** The members that the query names in the value, which it takes apart as a list or a struct. Undefined if there are none. */
  membersOf(path: Path): readonly (readonly PathStep[])[] | undefined {
    return this.isComputed(path) ? this.analysis.structured.get(fold(pathText(path))) : undefined;
  }

  /** True if the query only compares the value with others for equality. */
  isMatched(path: Path): boolean {
    return path.length === 1 && this.analysis.matched.has(fold(path[0]));
  }

  /**
   * True if the query only passes the value on, from the message to a row that is made of it: the database need not have
   * it.
   */
  isPassedOn(path: Path): boolean {
    return this.analysis.items !== undefined && !this.isComputed(path) && !this.isMatched(path);
  }

  /** True if nothing depends on the kind of the value: it stays as it is spelled. */
  isAsWritten(path: Path): boolean {
    const isPassed = this.analysis.items !== undefined || this.takesAll;
    if (!this.isTyped && isPassed && !this.isComputed(path) && !this.isMatched(path))
      return !this.hasParts(path) || path.length > 1;
    return (
      path.length > 1 &&
      !this.#pathColumns.some(({ path: each, form }) => form === 'value' && pathKey(each) === pathKey(path))
    );
  }
}
