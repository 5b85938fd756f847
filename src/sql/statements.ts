import { MillraceError } from '../errors.ts';
import { placeAt } from './edits.ts';
import { sqlErrors } from './sql-errors.ts';
import { tokensOf, type Token } from './tokens.ts';

/** A part of the query, from `start` up to and not including `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** SQL made of text of our own and of parts of the query. */
export type Text = readonly (string | Span)[];

/** A statement before the last one. */
export interface Statement extends Span {
  /** Counts from 1. */
  readonly number: number;
  readonly kind: 'create' | 'insert' | 'update' | 'delete' | 'merge';
  /** The table that it makes or changes. */
  readonly table: string;
  /** SELECTs that name what it reads and computes of the batch. */
  readonly reads: readonly Text[];
  /** SELECTs of expressions that see only the table that it changes. */
  readonly others: readonly Text[];
  /** For an INSERT. */
  readonly insert?: Insert;
  /** For an UPDATE or a MERGE: a SELECT that has a row if it would change a row of its table twice. */
  readonly repeats?: Text;
}

export interface Insert {
  /** `INSERT OR REPLACE INTO t AS a`, without its columns. */
  readonly head: Span;
  readonly columns: readonly string[] | undefined;
  readonly byName: boolean;
  readonly source: Span;
  /** The `ON CONFLICT …`. */
  readonly conflict: Span | undefined;
  /** The columns that `ON CONFLICT` names. */
  readonly keys: readonly string[] | undefined;
  /** How a row changes the one that has its key: not at all, as a whole, or by values computed from both. */
  readonly onConflict: 'fails' | 'nothing' | 'replaces' | 'computes';
}

/** Several statements. */
export interface Statements {
  readonly before: readonly Statement[];
  /** The last one: the SELECT whose rows are the result. */
  readonly last: Span;
}

/**
 * The statements of a query that has several; undefined if it has one.
 * @throws MillraceError MILLRACE_SQL_INVALID (fatal) for a statement that cannot be in a query
 */
export function readStatements(query: string): Statements | undefined {
  const parts: Token[][] = [[]];
  for (const token of tokensOf(query)) {
    if (token.kind === 'symbol' && token.text === ';') parts.push([]);
    else parts.at(-1)!.push(token);
  }
  const all = parts.filter((tokens) => tokens.length > 0);
  if (all.length < 2) return undefined;
  const read = all.map((tokens, index) => new StatementReader(query, tokens, index + 1));
  return { before: read.slice(0, -1).map((each) => each.read()), last: read.at(-1)!.last() };
}

/** Reads one statement from its tokens. */
class StatementReader {
  readonly #query: string;
  readonly #tokens: readonly Token[];
  readonly #number: number;
  /** The number of brackets around each token. */
  readonly #depths: readonly number[];
  #at = 0;

  constructor(query: string, tokens: readonly Token[], number: number) {
    this.#query = query;
    this.#tokens = tokens;
    this.#number = number;
    let depth = 0;
    this.#depths = tokens.map(({ kind, text }) => {
      if (kind !== 'symbol') return depth;
      if (/^[)\]}]$/.test(text)) depth--;
      return /^[([{]$/.test(text) ? depth++ : depth;
    });
  }

  last(): Span {
    if (!this.#is(0, 'SELECT', 'FROM', 'WITH', 'VALUES', '('))
      throw this.#wrong(0, 'expected a SELECT as the last statement: its rows are the result');
    return this.#span(0);
  }

  read(): Statement {
    if (this.#take('CREATE')) return this.#create();
    if (this.#take('INSERT')) return this.#insert();
    if (this.#take('UPDATE')) return this.#update();
    if (this.#take('DELETE')) return this.#delete();
    if (this.#take('MERGE')) return this.#merge();
    if (this.#is(0, 'SELECT', 'FROM', 'VALUES'))
      throw this.#wrong(0, 'only the last statement may be a SELECT: nobody would get the rows of this one');
    const expected =
      'expected CREATE TEMP TABLE, INSERT, UPDATE, DELETE or MERGE; these change tables of `state` and temporary ones';
    throw this.#wrong(0, `a query cannot have ${this.#tokens[0]!.text.toUpperCase()}: ${expected}`);
  }

  #create(): Statement {
    if (this.#take('OR')) this.#expect('REPLACE');
    if (!this.#take('TEMP', 'TEMPORARY'))
      throw this.#wrong(
        this.#at,
        'expected CREATE TEMP TABLE, for this batch; declare a table that stays under `state`, and functions and views in `setup`',
      );
    this.#expect('TABLE');
    if (this.#take('IF')) {
      this.#expect('NOT');
      this.#expect('EXISTS');
    }
    const table = this.#name();
    const as = this.#find(this.#at, 'AS');
    return this.#statement('create', table, as === undefined ? [] : [[this.#span(as + 1)]]);
  }

  #insert(): Statement {
    const or = this.#take('OR') ? this.#tokens[this.#at++]?.text.toUpperCase() : undefined;
    this.#expect('INTO');
    const table = this.#name();
    const alias = this.#alias() ?? table;
    const head = this.#span(0, this.#at);
    const opens = this.#is(this.#at, '(') && !this.#is(this.#at + 1, 'SELECT', 'FROM', 'WITH', 'VALUES', '(');
    const columns = opens ? this.#names() : undefined;
    let byName = false;
    if (this.#take('BY')) {
      byName = this.#is(this.#at, 'NAME');
      this.#at++;
    }
    this.#refuseReturning();
    const on = this.#find(this.#at, 'ON', ({ index }) => this.#is(index + 1, 'CONFLICT'));
    const source = this.#span(this.#at, on);
    const reads = this.#is(this.#at, 'DEFAULT') ? [] : [[source]];
    const insert = { head, columns, byName, source };
    if (on === undefined) {
      const onConflict = or === 'REPLACE' ? 'replaces' : or === 'IGNORE' ? 'nothing' : 'fails';
      return {
        ...this.#statement('insert', table, reads),
        insert: { ...insert, conflict: undefined, keys: undefined, onConflict },
      };
    }
    this.#at = on + 2;
    const keys = this.#is(this.#at, '(') ? this.#names() : undefined;
    const set = this.#find(this.#at, 'SET');
    const others: Text[] = [];
    let onConflict: Insert['onConflict'] = 'nothing';
    if (set !== undefined) {
      const where = this.#find(set, 'WHERE');
      const values = this.#assigned(set + 1, where);
      const condition: Text = where === undefined ? [] : [' WHERE ', this.#span(where + 1)];
      const tables = ` FROM ${quoted(table)} AS ${quoted(alias)}, ${quoted(table)} AS excluded`;
      others.push(['SELECT ', ...listed(values), tables, ...condition]);
      onConflict = where === undefined && this.#areExcluded(set, values) ? 'replaces' : 'computes';
    }
    return {
      ...this.#statement('insert', table, reads),
      others,
      insert: { ...insert, conflict: this.#span(on), keys, onConflict },
    };
  }

  #update(): Statement {
    const from0 = this.#at;
    const table = this.#name();
    const alias = this.#alias() ?? table;
    const target = this.#span(from0, this.#at);
    this.#refuseReturning();
    const set = this.#at;
    this.#expect('SET');
    const from = this.#find(set, 'FROM', ({ index }) => !this.#is(index - 1, 'DISTINCT'));
    const where = this.#find(set, 'WHERE');
    const values = this.#assigned(set + 1, from ?? where);
    const tables: Text = from === undefined ? [target] : [target, ', ', this.#span(from + 1, where)];
    const condition: Text = where === undefined ? [] : [' WHERE ', this.#span(where + 1)];
    const statement = this.#statement('update', table, [
      ['SELECT ', ...listed(values), ' FROM ', ...tables, ...condition],
    ]);
    return from === undefined
      ? statement
      : { ...statement, repeats: [...repeatedOf(alias), ...tables, ...condition, ...REPEATED] };
  }

  #delete(): Statement {
    this.#expect('FROM');
    const start = this.#at;
    const table = this.#name();
    this.#alias();
    const target = this.#span(start, this.#at);
    this.#refuseReturning();
    const using = this.#find(this.#at, 'USING');
    const where = this.#find(this.#at, 'WHERE');
    const tables: Text = using === undefined ? [target] : [target, ', ', this.#span(using + 1, where)];
    const condition: Text = where === undefined ? [] : [' WHERE ', this.#span(where + 1)];
    return this.#statement('delete', table, [['SELECT 1 FROM ', ...tables, ...condition]]);
  }

  #merge(): Statement {
    this.#expect('INTO');
    const start = this.#at;
    const table = this.#name();
    const alias = this.#alias() ?? table;
    const target = this.#span(start, this.#at);
    this.#expect('USING');
    this.#refuseReturning();
    const isClause = ({ index }: { index: number }): boolean =>
      this.#is(index + 1, 'MATCHED') || this.#is(index + 2, 'MATCHED');
    const first = this.#find(this.#at, 'WHEN', isClause);
    if (first === undefined) throw this.#wrong(this.#tokens.length - 1, 'expected WHEN MATCHED');
    let on = first;
    while (on > this.#at && !(this.#depths[on] === 0 && this.#is(on, 'ON', 'USING'))) on--;
    const joined: Text = [target, ' JOIN ', this.#span(this.#at, on), ' ', this.#span(on, first)];
    const values: (string | Span)[] = [];
    for (let clause: number | undefined = first; clause !== undefined;) {
      const next = this.#find(clause + 1, 'WHEN', isClause);
      const then = this.#find(clause, 'THEN')!;
      const and = this.#find(clause, 'AND');
      if (and !== undefined && and < then) values.push(this.#span(and + 1, then));
      values.push(...this.#mergeAction(then + 1, next));
      clause = next;
    }
    return {
      ...this.#statement('merge', table, [['SELECT ', ...listed(values), ' FROM ', ...joined]]),
      repeats: [...repeatedOf(alias), ...joined, ...REPEATED],
    };
  }

  /** The values of one action of a MERGE. */
  #mergeAction(start: number, end: number | undefined): (string | Span)[] {
    if (this.#is(start, 'UPDATE')) {
      if (!this.#is(start + 1, 'SET') || this.#is(start + 2, '*')) return ['*'];
      return this.#assigned(start + 2, end);
    }
    if (!this.#is(start, 'INSERT')) return [];
    const values = this.#find(start, 'VALUES');
    if (values === undefined || (end !== undefined && values > end)) return ['*'];
    return [this.#span(values + 2, this.#closing(values + 1))];
  }

  #statement(
    kind: Statement['kind'],
    table: string,
    reads: readonly Text[],
  ): Omit<Statement, 'insert' | 'repeats'> {
    return { number: this.#number, ...this.#span(0), kind, table, reads, others: [] };
  }

  /** The values of `a = 1, (b, c) = …`, from token `start` on. */
  #assigned(start: number, end = this.#tokens.length): Span[] {
    const values: Span[] = [];
    for (let at = start; at < end;) {
      const comma = this.#find(at, ',') ?? end;
      const equals = this.#find(at, '=');
      if (equals !== undefined && equals < Math.min(comma, end))
        values.push(this.#span(equals + 1, Math.min(comma, end)));
      at = Math.min(comma, end) + 1;
    }
    return values;
  }

  /** True if the values are nothing but those of the new row. */
  #areExcluded(set: number, values: readonly Span[]): boolean {
    return values.every(({ start, end }) => {
      const at = this.#tokens.findIndex((token) => token.start === start);
      return (
        at > set && this.#is(at, 'EXCLUDED') && this.#is(at + 1, '.') && this.#tokens[at + 2]!.end === end
      );
    });
  }

  #refuseReturning(): void {
    const at = this.#find(this.#at, 'RETURNING');
    if (at !== undefined)
      throw this.#wrong(at, 'RETURNING has no use here: only the last statement gives rows');
  }

  /** The alias that stands next, if there is one. */
  #alias(): string | undefined {
    if (this.#take('AS')) return this.#name();
    const token = this.#tokens[this.#at];
    const isWord = token?.kind === 'quoted' || (token?.kind === 'word' && !AFTER_TABLE.test(token.text));
    return isWord ? this.#name() : undefined;
  }

  #name(): string {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'word' && token?.kind !== 'quoted')
      throw this.#wrong(this.#at, 'expected the name of a table');
    this.#at++;
    if (this.#is(this.#at, '.'))
      throw this.#wrong(this.#at, 'expected the name of a table alone, without a schema or a database');
    return token.text;
  }

  /** The names in the brackets that stand next. */
  #names(): string[] {
    const end = this.#closing(this.#at);
    const names = this.#tokens
      .slice(this.#at, end)
      .filter(({ kind }) => kind === 'word' || kind === 'quoted');
    this.#at = end + 1;
    return names.map(({ text }) => text);
  }

  /** The bracket that closes the one at `at`. */
  #closing(at: number): number {
    const end = this.#tokens.findIndex((_, index) => index > at && this.#depths[index] === this.#depths[at]);
    return end < 0 ? this.#tokens.length : end;
  }

  /** The first such token outside brackets, from `start` on. */
  #find(
    start: number,
    text: string,
    is: (place: { index: number }) => boolean = () => true,
  ): number | undefined {
    for (let index = start; index < this.#tokens.length; index++)
      if (this.#depths[index] === 0 && this.#is(index, text) && is({ index })) return index;
    return undefined;
  }

  #is(index: number, ...texts: readonly string[]): boolean {
    const token = this.#tokens[index];
    if (token === undefined || (token.kind !== 'word' && token.kind !== 'symbol')) return false;
    return texts.includes(token.text.toUpperCase());
  }

  #take(...texts: readonly string[]): boolean {
    const isNext = this.#is(this.#at, ...texts);
    if (isNext) this.#at++;
    return isNext;
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw this.#wrong(this.#at, `expected ${text}`);
  }

  /** From token `start` up to and not including token `end`. */
  #span(start: number, end = this.#tokens.length): Span {
    const [first, last] = [this.#tokens[start], this.#tokens[end - 1]];
    if (first === undefined || last === undefined || start >= end)
      throw this.#wrong(start, 'expected more of the statement');
    return { start: first.start, end: last.end };
  }

  #wrong(index: number, message: string): MillraceError {
    const at = this.#tokens[index]?.start ?? this.#tokens.at(-1)!.end;
    const { line, column } = placeAt(this.#query, at);
    return new MillraceError(
      sqlErrors.MILLRACE_SQL_INVALID,
      `statement ${this.#number}: ${message} (line ${line}, column ${column} of the query)`,
      { fatal: true, field: 'query' },
    );
  }
}

/** Words that follow a table, and are no alias. */
const AFTER_TABLE = /^(?:SET|USING|WHERE|BY|VALUES|SELECT|FROM|WITH|DEFAULT|RETURNING|ON)$/i;

/** Around the tables of an UPDATE or a MERGE: a row for each row that is changed twice. */
function repeatedOf(alias: string): Text {
  return [`SELECT 1 FROM (SELECT ${quoted(alias)}.rowid AS "row" FROM `];
}

const REPEATED: Text = [') GROUP BY "row" HAVING count(*) > 1 LIMIT 1'];

function listed(values: readonly (string | Span)[]): Text {
  return values.length === 0
    ? ['1']
    : values.flatMap((value, index) => (index === 0 ? [value] : [', ', value]));
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
