import { fold } from './database.ts';
import { META } from './metadata.ts';

/** What a query says of the columns that it needs. All names are folded: SQL compares them without case. */
export interface QueryColumns {
  /** True when it takes all columns (`*`, `COLUMNS(…)`), or may. */
  readonly star: boolean;
  /**
   * What a row is: a whole message, as it is (`SELECT *`, filtered or sorted at most); made of one message (`SELECT *`
   * and more); or anything.
   */
  rows: 'messages' | 'by message' | 'any';
  /** Columns that it names and its own names, with how it writes them. */
  readonly names: ReadonlyMap<string, string>;
  /** Columns that are more than passed on: compared, computed with, grouped by. */
  readonly computed: ReadonlySet<string> | 'all';
  /** Columns that are compared for being the same, and with nothing but themselves: grouped by, made distinct, counted. */
  readonly matched: ReadonlySet<string>;
  /** Columns that something is taken out of with a dot: JSON objects. */
  readonly dotted: ReadonlySet<string>;
  /** Columns that are an argument of a function or operator, by its name. */
  readonly argumentsOf: ReadonlyMap<string, ReadonlySet<string>>;
  /** True when it reads from more than one table, or from one more than once. */
  readonly joins: boolean;
  /** Names that it gives to a value and then uses: a column of that name would change what they mean. */
  readonly own: ReadonlySet<string>;
}

/** A node of DuckDB's syntax tree: an expression if it has a `class`. */
export type Node = { readonly [key: string]: unknown };

/** Anywhere else, what the tree calls a lambda is JSON's arrow: `a -> 'b'`. */
const LAMBDA_FUNCTION = /^(?:list_|array_)?(?:transform|apply|filter|reduce)$/i;

export function readSyntax(select: Node, tableName: string): QueryColumns {
  return new SyntaxReader(select, fold(tableName)).columns();
}

class SyntaxReader {
  readonly #root: Node;
  readonly #tableName: string;
  /** The root's select list, if what it names is passed on. */
  readonly #passedOn: ReadonlySet<unknown>;
  readonly #listed = new Set<unknown>();
  /** Columns where they are looked at for being the same only. */
  readonly #same = new Set<unknown>();
  readonly #matched = new Set<string>();
  /** As those, in a join: with columns of the same name of tables that may not be the batch. */
  readonly #joined = new Set<unknown>();
  readonly #using = new Set<string>();
  #onlyBatch = true;
  readonly #computed = new Set<string>();
  readonly #dotted = new Set<string>();
  readonly #argumentsOf = new Map<string, Set<string>>();
  /** Names used where the query had given them to no value yet, and how they are written: these are columns. */
  readonly #needed = new Map<string, string>();
  /** Names used after the same SELECT, or another one, gave them to a value. */
  readonly #usedInside = new Set<string>();
  readonly #usedOutside = new Set<string>();
  /** Names given to values: in each SELECT that the visit is inside of, and in those that it is past. */
  readonly #scopes: Set<string>[] = [];
  readonly #aliases = new Set<string>();
  readonly #lambdas = new Set<unknown>();
  readonly #parameters = new Set<string>();
  /** Names of tables, and whether they are the batch. */
  readonly #tables = new Map<string, boolean>();
  #stars = 0;
  #sources = 0;
  #allComputed = false;

  constructor(root: Node, tableName: string) {
    this.#root = root;
    this.#tableName = tableName;
    const plain = isPlainSelect(root);
    const groups = list(root['group_expressions']);
    const grouped = !plain && isGroupedSelect(root);
    this.#passedOn = new Set(plain || grouped ? list(root['select_list']) : []);
    if (grouped) for (const group of [...groups, ...this.#passedOn]) this.#same.add(group);
    this.#visit(root);
    const same = this.#onlyBatch ? this.#matched : this.#computed;
    for (const name of this.#using) same.add(name);
    for (const item of this.#passedOn) this.#followAlias(item as Node);
    if (!plain && this.#stars > 0) this.#allComputed = true;
  }

  columns(): QueryColumns {
    const star = this.#stars > 0;
    // Without a star, a message's field does not get to where another SELECT's names are used.
    const given = [...this.#usedInside, ...(star ? this.#usedOutside : [])];
    return {
      star,
      rows: this.#isByMessage()
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
    };
  }

  #isByMessage(): boolean {
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
      this.#visitChildren(node);
      for (const alias of this.#scopes.pop()!) this.#aliases.add(alias);
    }
    if (this.#listed.has(node)) add(this.#scopes.at(-1), node['alias']);
  }

  #visitChildren(node: Node): void {
    // Tables before what is taken from them, and the select list's aliases before who uses them.
    const { cte_map, from_table, select_list, ...others } = node;
    [cte_map, from_table, select_list, ...Object.values(others)].forEach((each) => this.#visit(each));
  }

  #readColumn(node: Node): void {
    const written = list(node['column_names']).map(String);
    const path = written.map(fold);
    const [first = '', second] = path;
    if (this.#parameters.has(first)) return;
    const ofBatch = this.#tables.get(first);
    if (second === undefined && ofBatch !== undefined && first !== this.#tableName) {
      // A table's alias alone is the whole row.
      this.#stars++;
      this.#allComputed = true;
      return;
    }
    const qualified = second !== undefined && ofBatch !== undefined;
    const name = qualified ? second : first;
    if (this.#joined.has(node)) this.#using.add(name);
    else if (this.#same.has(node)) this.#matched.add(name);
    else if (!this.#passedOn.has(node)) this.#computed.add(name);
    if (path.length > (qualified ? 2 : 1)) this.#dotted.add(name);
    const need = (): unknown => this.#needed.has(name) || this.#needed.set(name, written[qualified ? 1 : 0]!);
    if (qualified && ofBatch) need();
    else if (!qualified && this.#scopes.some((scope) => scope.has(name))) this.#usedInside.add(name);
    else if (this.#aliases.has(name)) this.#usedOutside.add(name);
    else need();
  }

  #readStar(node: Node): void {
    this.#stars++;
    // `max(COLUMNS(*))` computes, `SELECT *` passes on.
    if (!this.#listed.has(node)) this.#allComputed = true;
    // Columns that it excludes, renames or replaces must be there.
    for (const item of [
      ...list(node['exclude_list']),
      ...list(node['rename_list']),
      ...list(node['replace_list']),
    ]) {
      const key = typeof item === 'string' ? item : ((item as Node)['key'] ?? item);
      this.#use(typeof key === 'string' ? key : (key as Node)['column']);
    }
  }

  #readArguments(node: Node): void {
    const name = String(node['function_name']);
    const known = this.#argumentsOf.get(name) ?? new Set();
    for (const child of list(node['children']) as Node[]) {
      const column = list(child['column_names']).at(-1);
      if (child['class'] === 'COLUMN_REF') known.add(fold(String(column)));
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

  /** Whatever is no expression: tables, joins, common table expressions. */
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

  /** A column that is passed on under a name which is computed with is computed with too. */
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

function add(aliases: Set<string> | undefined, alias: unknown): void {
  if (typeof alias === 'string' && alias !== '') aliases?.add(fold(alias));
}

function isTable(node: Node, name: string): boolean {
  return node['type'] === 'BASE_TABLE' && fold(String(node['table_name'])) === name;
}

/** True for a table that is not the batch; a join is none itself. */
function isOtherTable(node: Node, name: string): boolean {
  const type = String(node['type']);
  return type === 'BASE_TABLE'
    ? !isTable(node, name)
    : /^(?:SUBQUERY|TABLE_FUNCTION|EXPRESSION_LIST|PIVOT)$/.test(type);
}

/** A SELECT whose listed columns are passed on as they are. */
function isPlainSelect(node: Node): boolean {
  // `ORDER BY 1` and `ORDER BY ALL` compare columns that they don't name.
  const namesItsColumns = (order: unknown): boolean =>
    !['CONSTANT', 'STAR'].includes(String(((order as Node)['expression'] as Node)['class']));
  return (
    node['type'] === 'SELECT_NODE' &&
    list(node['group_expressions']).length === 0 &&
    node['aggregate_handling'] === 'STANDARD_HANDLING' &&
    list(node['modifiers']).every(
      (modifier) =>
        (modifier as Node)['type'] !== 'DISTINCT_MODIFIER' &&
        list((modifier as Node)['orders']).every(namesItsColumns),
    )
  );
}

/** A SELECT whose columns are grouped by, or made distinct, and listed as they are; nothing is sorted. */
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

/** What an expression looks at only for being null, or for being the same as others of its name. */
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
