import { pathText, type Path, type PathStep } from '../message/field-path.ts';
import { WHOLE_VALUE } from '../message/json-fields.ts';
import { fold } from './database.ts';
import { META, metadataColumn } from './metadata.ts';
import type { Node } from './syntax-node.ts';
import { chainOf, type Chain, type PathForm } from './reference-paths.ts';

/**
 * The columns that a query needs, as far as it reveals them. All names are folded: SQL ignores case when it compares them.
 */
export interface QueryColumns {
  /** True if it takes all columns (`*`, `COLUMNS(…)`), or may take them. */
  readonly star: boolean;
  /**
   * The kind of a row: a whole message, unchanged (`SELECT *`, at most filtered or sorted); made of one message
   * (`SELECT *` and more); or anything.
   */
  rows: 'messages' | 'by message' | 'any';
  /** Columns that the query names, and its own names, each with the query's spelling. */
  readonly names: ReadonlyMap<string, string>;
  /** Columns that are not only passed on: they are compared, computed with, or grouped by. */
  readonly computed: ReadonlySet<string> | 'all';
  /** Columns that are compared only for equality, and only with themselves: in GROUP BY, DISTINCT or a count. */
  readonly matched: ReadonlySet<string>;
  /** Columns from which a dot takes a member: JSON objects. */
  readonly dotted: ReadonlySet<string>;
  /** Columns that are an argument of a function or operator, by its name. */
  readonly argumentsOf: ReadonlyMap<string, ReadonlySet<string>>;
  /** True if it reads from more than one table, or from one table more than once. */
  readonly joins: boolean;
  /** Names that the query gives to a value and then uses: a column of that name would change their meaning. */
  readonly own: ReadonlySet<string>;
  /**
   * Columns, and paths into columns, whose values the query takes apart as lists or structs: their folded texts, each
   * with the members that it names.
   */
  readonly structured: ReadonlyMap<string, readonly (readonly PathStep[])[]>;
  /** The places where the query names a row of the batch as a whole: `to_json(flow)`. */
  readonly wholeRows: readonly WholeRow[];
  /** Columns whose values an item of the root's select list only carries on, at their places in the query. */
  readonly carried: readonly Reference[];
  /** The paths into columns that the query names, and columns whose name differs from another one's only in case. */
  readonly paths: readonly Reference[];
  /** The root's select list, if each row is made of one message; undefined if rows may have other columns. */
  readonly items: readonly Item[] | undefined;
}

/** A row as one value, at a place in the query. */
export interface WholeRow {
  /** The table that the query names. */
  readonly table: string;
  /** The offset in bytes at which it is. */
  readonly location: number;
  /** True if it is an item of a select list and has no name of its own. */
  readonly isUnnamed: boolean;
}

/** A path into a column, at a place in the query. */
export interface Reference {
  readonly path: Path;
  readonly form: PathForm;
  readonly node: Node;
  /** The offset in bytes at which it begins, with the name of its table or of the column. */
  readonly location: number;
  /** The name of its table, if the query writes it. */
  readonly table: string | undefined;
  /** The number of names there that dots join, and of links after them: subscripts, arrows, and dots after these. */
  readonly names: number;
  readonly links: number;
  /** True if it is only passed on: it is an item of the root's select list. */
  readonly isPassed: boolean;
  /** True if it is an item of a select list and has no name of its own. */
  readonly isUnnamed: boolean;
}

/** An item of a select list. */
export type Item =
  | { readonly kind: 'star'; readonly except: ReadonlySet<string> }
  | {
      readonly kind: 'passed';
      readonly path: Path;
      readonly form: PathForm;
      /** The name that the query gives it; empty if DuckDB makes one. */
      readonly name: string;
    }
  | { readonly kind: 'computed' };

/** Functions whose argument is a list or a struct. */
const STRUCTURED =
  /^(?:len|length|contains|cardinality|flatten|unnest|unlist|apply|filter|reduce|transform|generate_subscripts|(?:list|array|struct|map)_(?!agg$)\w+)$/i;

/** Functions that return a list: what `||` joins with one is a list too. */
const LISTS =
  /^(?:list_(?:value|sort|reverse_sort|distinct|filter|transform|concat|slice)|array_value|range|string_split)$/i;

/** Functions that pass on what they are given. */
const CARRIES =
  /^(?:list|array_agg|any_value|first|last|to_json|row_to_json|json_object|json_array|json_group_array)$/i;

/** Functions that choose one of the values of their first argument, or list all of them. */
const CHOOSES =
  /^(?:any_value|arbitrary|first|last|arg_max|arg_min|argmax|argmin|arg_max_null|arg_min_null|max_by|min_by|list|array_agg|lag|lead|first_value|last_value|nth_value)$/i;

/** Elsewhere, a lambda in the tree is JSON's arrow: `a -> 'b'`. */
const LAMBDA_FUNCTION = /^(?:list_|array_)?(?:transform|apply|filter|reduce)$/i;

/**
 * `isByMessage`: each row is made of one message. `keepsSpelling`: values that are only carried on are read as JSON.
 */
export function readSyntax(
  select: Node,
  tableName: string,
  isByMessage: boolean,
  keepsSpelling: boolean,
): QueryColumns {
  return new SyntaxReader(select, fold(tableName), isByMessage, keepsSpelling).columns();
}

class SyntaxReader {
  readonly #root: Node;
  readonly #tableName: string;
  /** The root's select list, if the columns that it names are passed on. */
  readonly #passedOn: ReadonlySet<unknown>;
  readonly #listed = new Set<unknown>();
  /** Column nodes that are compared only for equality. */
  readonly #same = new Set<unknown>();
  readonly #matched = new Set<string>();
  /** The same in a join: compared with columns of the same name of tables that may not be the batch. */
  readonly #joined = new Set<unknown>();
  readonly #using = new Set<string>();
  #onlyBatch = true;
  readonly #computed = new Set<string>();
  readonly #dotted = new Set<string>();
  readonly #argumentsOf = new Map<string, Set<string>>();
  /** Names used before the query gave them to a value, with their spelling: these are columns. */
  readonly #needed = new Map<string, string>();
  /** Names used after this SELECT, or another one, gave them to a value. */
  readonly #usedInside = new Set<string>();
  readonly #usedOutside = new Set<string>();
  /** Names given to values: in each SELECT around the current node, and in those already visited. */
  readonly #scopes: Set<string>[] = [];
  readonly #aliases = new Set<string>();
  readonly #lambdas = new Set<unknown>();
  readonly #parameters = new Set<string>();
  readonly #isByMessage: boolean;
  readonly #structured = new Map<string, (readonly PathStep[])[]>();
  /** Items of select lists that give another name to a column, or a path into one: both folded. */
  readonly #renamed: { readonly from: string; readonly to: string }[] = [];
  readonly #paths: Reference[] = [];
  /** Values that an item of the root's select list carries on, with the folded name of the item. */
  readonly #chosen: ReadonlyMap<unknown, string>;
  readonly #carriedOn: Reference[] = [];
  readonly #ordersByAll = new Set<unknown>();
  readonly #wholeRows: WholeRow[] = [];
  /** Arguments of functions that make rows or lists of what they are given. */
  readonly #carried = new Set<unknown>();
  /** Columns that are items of the root's select list. */
  readonly #passedColumns = new Map<unknown, Pick<Reference, 'path' | 'form' | 'isPassed'>>();
  /** For each SELECT around the current node: true if it reads nothing but the batch. */
  readonly #readsOnlyBatch: boolean[] = [];
  /** Names of tables; true for a table that is the batch. */
  readonly #tables = new Map<string, boolean>();
  #stars = 0;
  #sources = 0;
  #allComputed = false;

  constructor(root: Node, tableName: string, isByMessage: boolean, keepsSpelling: boolean) {
    this.#root = root;
    this.#tableName = tableName;
    const plain = isPlainSelect(root);
    this.#isByMessage = isByMessage && plain;
    const groups = list(root['group_expressions']);
    const grouped = !plain && isGroupedSelect(root);
    const items = list(root['select_list']).filter((item) => !isMetadata((item as Node)['alias']));
    this.#passedOn = new Set(plain || grouped ? items : []);
    this.#chosen = keepsSpelling ? chosenValues(root) : new Map();
    if (grouped) for (const group of [...groups, ...this.#passedOn]) this.#same.add(group);
    this.#visit(root);
    const same = this.#onlyBatch ? this.#matched : this.#computed;
    for (const name of this.#using) same.add(name);
    for (const item of this.#passedOn) this.#followAlias(item as Node);
    if (!plain && this.#stars > 0) this.#allComputed = true;
  }

  columns(): QueryColumns {
    const star = this.#stars > 0;
    // Without a star, a message's field does not reach the places where another SELECT's names are used.
    const given = [...this.#usedInside, ...(star ? this.#usedOutside : [])];
    return {
      star,
      rows: this.#isStarByMessage()
        ? list(this.#root['select_list']).length === 1
          ? 'messages'
          : 'by message'
        : 'any',
      names: new Map([...given.map((name) => [name, name] as const), ...this.#needed]),
      computed: this.#allComputed ? 'all' : this.#computed,
      matched: this.#matched,
      dotted: this.#dotted,
      argumentsOf: this.#argumentsOf,
      joins: this.#sources > 1,
      own: new Set(given.filter((name) => !this.#needed.has(name))),
      structured: this.#withRenamed(),
      wholeRows: this.#wholeRows,
      carried: this.#carriedOn.filter(({ node }) => this.#isCarried(node)),
      paths: this.#paths.map((each) =>
        each.path.length > 1 && each.form === 'value' && this.#isCarried(each.node)
          ? { ...each, form: 'json' }
          : each,
      ),
      items: this.#isByMessage && this.#wholeRows.length === 0 ? this.#items() : undefined,
    };
  }

  /** True for a value that goes from the batch to the result as it is, because nothing else uses the item that has it. */
  #isCarried(node: Node): boolean {
    const item = this.#chosen.get(node);
    const isUsed = (name: string): boolean => this.#usedInside.has(name) || this.#usedOutside.has(name);
    return item !== undefined && !isUsed(item) && this.#stars === 0 && this.#wholeRows.length === 0;
  }

  /** A column that a subquery passes on under another name is taken apart as that name is. */
  #withRenamed(): ReadonlyMap<string, readonly (readonly PathStep[])[]> {
    for (const { from, to } of this.#renamed.toReversed()) {
      const members = this.#structured.get(to);
      if (members !== undefined) this.#addStructured(from, members);
    }
    return this.#structured;
  }

  #addStructured(key: string, members: readonly (readonly PathStep[])[] = []): void {
    this.#structured.set(key, [...(this.#structured.get(key) ?? []), ...members]);
  }

  /** The path without the name of a table. */
  #withoutTable(chain: Chain): Path {
    const [first, second, ...steps] = pathOf(chain);
    return typeof second === 'string' && this.#tables.has(fold(first)) ? [second, ...steps] : pathOf(chain);
  }

  /** Undefined if a `*` does more than list columns. */
  #items(): Item[] | undefined {
    const items: Item[] = [];
    for (const node of list(this.#root['select_list']) as Node[]) {
      const passed = this.#passedColumns.get(node) ?? this.#paths.find((each) => each.node === node);
      if (node['class'] === 'STAR') {
        const except = exceptionsOf(node);
        if (except === undefined) return undefined;
        items.push({ kind: 'star', except });
      } else if (passed?.isPassed === true) {
        const { path, form } = passed;
        const own = node['class'] === 'COLUMN_REF' ? String(list(node['column_names']).at(-1)) : '';
        items.push({ kind: 'passed', path, form, name: aliasOf(node) || own });
      } else items.push({ kind: 'computed' });
    }
    return items;
  }

  #isStarByMessage(): boolean {
    const from = (this.#root['from_table'] ?? {}) as Node;
    const [star, ...more] = list(this.#root['select_list']).filter(
      (item) => (item as Node)['class'] === 'STAR',
    );
    return (
      isPlainSelect(this.#root) &&
      list(((this.#root['cte_map'] ?? {}) as Node)['map']).length === 0 &&
      isTable(from, this.#tableName) &&
      list(from['column_name_alias']).length === 0 &&
      star !== undefined &&
      more.length === 0 &&
      this.#stars === 1 &&
      isPlainStar(star as Node) &&
      META.every((name) => !this.#needed.has(name))
    );
  }

  #visit(value: unknown): void {
    if (Array.isArray(value)) {
      value.forEach((each) => this.#visit(each));
      return;
    }
    if (typeof value !== 'object' || value === null) return;
    const node = value as Node;
    for (const item of list(node['select_list'])) this.#listed.add(item);
    for (const all of ordersByAll(node)) this.#ordersByAll.add(all);
    if (this.#ordersByAll.has(node)) return;
    const chain = this.#lambdas.has(node) ? undefined : chainOf(node);
    if (chain !== undefined && this.#readPath(node, chain)) {
      if (this.#listed.has(node)) this.#name(node);
      return;
    }
    if (chain !== undefined) {
      const [name, ...steps] = this.#withoutTable(chain);
      if (steps.length > 0 && chain.form === 'value') this.#addStructured(fold(name), [steps]);
    }
    if (node['type'] === 'ARRAY_SLICE') this.#readStructured(list(node['children']).slice(0, 1));
    if (node['class'] === 'COLUMN_REF') this.#readColumn(node);
    else if (node['class'] === 'STAR') this.#readStar(node);
    else if (node['class'] === undefined) this.#readTable(node);
    else if (LAMBDA_FUNCTION.test(String(node['function_name']))) this.#addLambdas(node);
    if (node['class'] === 'FUNCTION') this.#readArguments(node);
    for (const each of lookedAtForSameness(node)) this.#same.add(each);
    for (const each of joinedBySameness(node)) this.#joined.add(each);
    if (this.#lambdas.has(node)) this.#readLambda(node);
    else if (node['select_list'] === undefined) this.#visitChildren(node);
    else {
      this.#scopes.push(new Set());
      this.#readsOnlyBatch.push(isTable((node['from_table'] ?? {}) as Node, this.#tableName));
      this.#visitChildren(node);
      this.#readsOnlyBatch.pop();
      for (const alias of this.#scopes.pop()!) this.#aliases.add(alias);
    }
    if (this.#listed.has(node)) this.#name(node);
  }

  /** Notes the name of an item of a select list. */
  #name(node: Node): void {
    const alias = aliasOf(node);
    add(this.#scopes.at(-1), alias);
    const chain = chainOf(node);
    if (chain === undefined) return;
    const path = this.#withoutTable(chain);
    const to = fold(alias === '' ? String(path.at(-1)) : alias);
    const from = fold(pathText(path));
    if (from !== to) this.#renamed.push({ from, to });
  }

  #readStructured(values: readonly unknown[]): void {
    for (const value of values) {
      const chain = chainOf(value as Node);
      if (chain?.form === 'value') this.#addStructured(fold(pathText(this.#withoutTable(chain))));
    }
  }

  #visitChildren(node: Node): void {
    // Visit tables before the columns taken from them, and the select list's aliases before their uses.
    const { cte_map, from_table, select_list, ...others } = node;
    [cte_map, from_table, select_list, ...Object.values(others)].forEach((each) => this.#visit(each));
  }

  /** Reads a path into a column that is certainly one of the batch. @returns false for anything else */
  #readPath(node: Node, { base, steps, links, form }: Chain): boolean {
    const written = list(base['column_names']).map(String);
    const first = fold(written[0] ?? '');
    const isQualified = written.length > 1 && this.#tables.get(first) === true;
    const [name = '', ...members] = isQualified ? written.slice(1) : written;
    const key = fold(name);
    const spelled = this.#needed.get(key) ?? name;
    if ((members.length + steps.length === 0 && spelled === name) || META.includes(key)) return false;
    const isOwn = this.#parameters.has(key) || this.#scopes.some((scope) => scope.has(key));
    if (!isQualified && (isOwn || this.#readsOnlyBatch.at(-1) !== true || this.#tables.has(key)))
      return false;
    const isItem = this.#listed.has(node);
    this.#paths.push({
      path: [name, ...members, ...steps],
      form,
      names: written.length,
      links,
      node,
      location: Number(base['query_location']),
      table: isQualified ? written[0] : undefined,
      isPassed: this.#passedOn.has(node) && !this.#same.has(node),
      isUnnamed: isItem && aliasOf(node) === '',
    });
    this.#need(name);
    return true;
  }

  #readColumn(node: Node): void {
    const written = list(node['column_names']).map(String);
    const path = written.map(fold);
    const [first = '', second] = path;
    if (this.#parameters.has(first)) return;
    const ofBatch = this.#tables.get(first);
    if (second === undefined && ofBatch !== undefined && !this.#scopes.some((scope) => scope.has(first))) {
      // A table's name alone is the whole row.
      this.#stars++;
      if (!this.#listed.has(node) && !this.#carried.has(node)) this.#allComputed = true;
      const location = Number(node['query_location']);
      const isUnnamed = this.#listed.has(node) && aliasOf(node) === '';
      if (ofBatch) this.#wholeRows.push({ table: written[0]!, location, isUnnamed });
      return;
    }
    const qualified = second !== undefined && ofBatch !== undefined;
    const name = qualified ? second : first;
    if (this.#joined.has(node)) this.#using.add(name);
    else if (this.#same.has(node)) this.#matched.add(name);
    else if (!this.#passedOn.has(node)) this.#computed.add(name);
    if (path.length > (qualified ? 2 : 1)) this.#dotted.add(name);
    const need = (): void => {
      const spelled = written[qualified ? 1 : 0]!;
      const isWhole = path.length === (qualified ? 2 : 1) && !META.includes(name);
      if (isWhole && this.#chosen.has(node) && (qualified || this.#readsOnlyBatch.at(-1) === true))
        this.#carriedOn.push({
          path: [spelled],
          form: 'json',
          names: path.length,
          links: 0,
          node,
          location: Number(node['query_location']),
          table: qualified ? written[0] : undefined,
          isPassed: false,
          isUnnamed: false,
        });
      if (!this.#needed.has(name)) this.#needed.set(name, spelled);
      if (!this.#passedOn.has(node) || this.#same.has(node) || META.includes(name)) return;
      if (path.length === (qualified ? 2 : 1))
        this.#passedColumns.set(node, { path: [spelled], form: 'value', isPassed: true });
    };
    if (qualified && ofBatch) need();
    else if (!qualified && this.#scopes.some((scope) => scope.has(name))) this.#usedInside.add(name);
    else if (this.#aliases.has(name)) this.#usedOutside.add(name);
    else need();
  }

  #readStar(node: Node): void {
    this.#stars++;
    // `max(COLUMNS(*))` computes, `SELECT *` passes on.
    if (!this.#listed.has(node)) this.#allComputed = true;
    // Columns that it excludes, renames or replaces must exist.
    for (const item of [
      ...list(node['exclude_list']),
      ...list(node['rename_list']),
      ...list(node['replace_list']),
    ])
      this.#use(nameOf(item));
  }

  #readArguments(node: Node): void {
    const name = String(node['function_name']);
    if (CARRIES.test(name)) for (const child of list(node['children'])) this.#carried.add(child);
    const isOfLists = STRUCTURED.test(name) || (name === '||' && list(node['children']).some(isList));
    if (isOfLists) this.#readStructured(list(node['children']));
    const known = this.#argumentsOf.get(name) ?? new Set();
    for (const child of list(node['children']) as Node[]) {
      const column = list(child['column_names']).at(-1);
      if (child['class'] === 'COLUMN_REF') known.add(fold(String(column)));
      const chain = chainOf(child);
      if (chain !== undefined) known.add(fold(pathText(pathOf(chain))));
    }
    this.#argumentsOf.set(name, known);
  }

  #addLambdas(node: Node): void {
    for (const child of list(node['children'])) {
      if ((child as Node)['class'] === 'LAMBDA') this.#lambdas.add(child);
    }
  }

  #readLambda({ lhs, expr }: Node): void {
    const parameters = [lhs as Node, ...(list((lhs as Node)['children']) as Node[])];
    const names = parameters.flatMap((each) => list(each['column_names'])).map((name) => fold(String(name)));
    for (const name of names) this.#parameters.add(name);
    this.#visit(expr);
    for (const name of names) this.#parameters.delete(name);
  }

  /** Everything that is not an expression: tables, joins, common table expressions. */
  #readTable(node: Node): void {
    const name = node['alias'] === '' || node['alias'] === undefined ? node['table_name'] : node['alias'];
    if (node['type'] === 'BASE_TABLE') this.#sources++;
    if (isOtherTable(node, this.#tableName)) this.#onlyBatch = false;
    if (typeof name === 'string') this.#tables.set(fold(name), isTable(node, this.#tableName));
    for (const alias of [...list(node['column_name_alias']), ...list(node['aliases'])])
      add(this.#aliases, alias);
    for (const column of list(node['using_columns'])) {
      this.#need(column);
      if (typeof column === 'string') this.#using.add(fold(column));
    }
    if (node['ref_type'] === 'NATURAL' || node['type'] === 'PIVOT' || node['type'] === 'SHOW_REF') {
      this.#stars++;
      this.#allComputed = true;
    }
  }

  /** A column that is passed on under a name counts as computed with if that name does. */
  #followAlias({ class: kind, alias, column_names: path }: Node): void {
    if (kind !== 'COLUMN_REF' || !this.#usedInside.has(fold(String(alias)))) return;
    for (const name of list(path)) this.#computed.add(fold(String(name)));
  }

  #use(name: unknown): void {
    if (typeof name === 'string') this.#computed.add(fold(name));
    this.#need(name);
  }

  #need(name: unknown): void {
    if (typeof name === 'string' && !this.#needed.has(fold(name))) this.#needed.set(fold(name), name);
  }
}

/** The `ALL` of `ORDER BY ALL`, which the tree has as a star: it sorts by the select list, not by all fields. */
function ordersByAll(node: Node): unknown[] {
  return list(node['modifiers'])
    .flatMap((modifier) => list((modifier as Node)['orders']))
    .map((order) => (order as Node)['expression'])
    .filter(
      (star) =>
        (star as Node)['class'] === 'STAR' && exceptionsOf({ ...(star as Node), columns: false })?.size === 0,
    );
}

/** True for an expression that makes a list, whatever its arguments are. */
function isList(node: unknown): boolean {
  return LISTS.test(String((node as Node)['function_name']));
}

function add(aliases: Set<string> | undefined, alias: unknown): void {
  if (typeof alias === 'string' && alias !== '') aliases?.add(fold(alias));
}

function isTable(node: Node, name: string): boolean {
  return node['type'] === 'BASE_TABLE' && fold(String(node['table_name'])) === name;
}

/** True for a table that is not the batch; a join does not count as one. */
function isOtherTable(node: Node, name: string): boolean {
  const type = String(node['type']);
  return type === 'BASE_TABLE'
    ? !isTable(node, name)
    : /^(?:SUBQUERY|TABLE_FUNCTION|EXPRESSION_LIST|PIVOT)$/.test(type);
}

/** True for a SELECT whose listed columns are passed on unchanged. */
function isPlainSelect(node: Node): boolean {
  return (
    node['type'] === 'SELECT_NODE' &&
    list(node['group_expressions']).length === 0 &&
    node['aggregate_handling'] === 'STANDARD_HANDLING' &&
    comparesNoItems(node)
  );
}

/** False for a SELECT that compares its items without naming them: `DISTINCT`, `ORDER BY 1`, `ORDER BY ALL`. */
function comparesNoItems(node: Node): boolean {
  const namesItsColumns = (order: unknown): boolean =>
    !['CONSTANT', 'STAR'].includes(String(((order as Node)['expression'] as Node)['class']));
  return list(node['modifiers']).every(
    (modifier) =>
      (modifier as Node)['type'] !== 'DISTINCT_MODIFIER' &&
      list((modifier as Node)['orders']).every(namesItsColumns),
  );
}

/** The values that items like `any_value(price)` carry on, with the folded names of the items. */
function chosenValues(root: Node): Map<unknown, string> {
  const chosen = new Map<unknown, string>();
  if (root['type'] !== 'SELECT_NODE' || !comparesNoItems(root)) return chosen;
  for (const item of list(root['select_list']) as Node[]) {
    const [value] = list(item['children']);
    const isKept = item['distinct'] !== true && (item['default_expr'] ?? null) === null;
    const alias = fold(aliasOf(item));
    // Metadata, and a message of one value, are made of the value itself.
    if (value === undefined || !isKept || isMetadata(alias) || alias === fold(WHOLE_VALUE[0])) continue;
    if (CHOOSES.test(String(item['function_name']))) chosen.set(value, alias);
  }
  return chosen;
}

/** True for a SELECT whose columns are grouped by, or made distinct, and listed unchanged; nothing is sorted. */
function isGroupedSelect(node: Node): boolean {
  const modifiers = list(node['modifiers']) as Node[];
  const groups = list(node['group_expressions']) as Node[];
  return (
    node['type'] === 'SELECT_NODE' &&
    (groups.length > 0 || modifiers.length > 0) &&
    node['aggregate_handling'] === 'STANDARD_HANDLING' &&
    groups.every((group) => group['class'] === 'COLUMN_REF') &&
    modifiers.every(
      (modifier) =>
        modifier['type'] === 'DISTINCT_MODIFIER' && list(modifier['distinct_on_targets']).length === 0,
    )
  );
}

const COUNTS = /^(?:count|any_value|first|last)$/i;

/** Columns that an expression checks only for null, or for equality with others of the same name. */
function lookedAtForSameness(node: Node): readonly unknown[] {
  if (node['class'] === 'WINDOW') return list(node['partitions']);
  const isNull = node['type'] === 'OPERATOR_IS_NULL' || node['type'] === 'OPERATOR_IS_NOT_NULL';
  const counts = node['class'] === 'FUNCTION' && COUNTS.test(String(node['function_name']));
  return isNull || counts ? list(node['children']) : [];
}

/** The two sides of `x.a = y.a`. */
function joinedBySameness({ type, left, right }: Node): readonly unknown[] {
  if (type !== 'COMPARE_EQUAL') return [];
  const [one, other] = [left, right].map((side) => list((side as Node)['column_names']).map(String));
  return one!.length === 2 && other!.length === 2 && fold(one![1]!) === fold(other![1]!) ? [left, right] : [];
}

function pathOf({ base, steps }: Chain): Path {
  const [name = '', ...members] = list(base['column_names']).map(String);
  return [name, ...members, ...steps];
}

function aliasOf({ alias }: Node): string {
  return typeof alias === 'string' ? alias : '';
}

/** True for an alias that makes a column of the result metadata. */
function isMetadata(alias: unknown): boolean {
  return typeof alias === 'string' && metadataColumn(alias) !== undefined;
}

/** The folded names that a `*` leaves out; undefined if it does more than list columns. */
function exceptionsOf(node: Node): ReadonlySet<string> | undefined {
  const { exclude_list: excluded, ...others } = node;
  if (!isPlainStar({ ...others, exclude_list: [] })) return undefined;
  return new Set(list(excluded).map((item) => fold(nameOf(item))));
}

function nameOf(item: unknown): string {
  const key = typeof item === 'string' ? item : ((item as Node)['key'] ?? item);
  return String(typeof key === 'string' ? key : (key as Node)['column']);
}

/** `*` or `table.*`, with nothing left out or changed. */
function isPlainStar(node: Node): boolean {
  const lists = Object.values(node).filter((value) => Array.isArray(value));
  return (
    lists.every((each) => each.length === 0) && node['columns'] !== true && (node['expr'] ?? null) === null
  );
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
