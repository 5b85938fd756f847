import { fieldKinds as Kind } from '../message/json-fields.ts';
import type { QueryAnalysis } from './analyse.ts';
import { identifier, literal } from './database.ts';

/** A query that takes all columns gets at most so many; a message that would add another is rejected. */
export const MAX_COLUMNS = 1000;

const NUMBERS = Kind.INT | Kind.LONG | Kind.BIGINT | Kind.FLOAT | Kind.HUGE;

interface Column {
  readonly name: string;
  /** The kinds of JSON value that it takes. */
  readonly kinds: number;
  /** The type that the user declared, or undefined when it follows the data. */
  readonly declared: string | undefined;
}

/** A kind of value that a field has not had before. */
export interface Candidate {
  readonly name: string;
  readonly kind: number;
}

/** The columns of the table that a query reads: what the user declared, and what messages have shown so far. */
export class FlowSchema {
  readonly #analysis: QueryAnalysis;
  readonly #columns = new Map<string, Column>();
  #version = 0;

  constructor(analysis: QueryAnalysis, declared: Readonly<Record<string, string>>) {
    this.#analysis = analysis;
    for (const [name, type] of Object.entries(declared)) {
      this.#columns.set(name.toLowerCase(), { name, kinds: declaredKinds(type), declared: type });
    }
  }

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  columns(): readonly Column[] {
    return [...this.#columns.values()];
  }

  /** True when the query cannot see the field. */
  ignores(name: string): boolean {
    return !this.#analysis.star && !this.#analysis.names.has(name.toLowerCase());
  }

  /** Why the field cannot have this kind of value, or undefined when it may, as far as types go. */
  objection({ name, kind }: Candidate): string | undefined {
    const column = this.#columns.get(name.toLowerCase());
    if (column === undefined) {
      if (this.#columns.size < MAX_COLUMNS) return undefined;
      return `the stream has shown ${MAX_COLUMNS} different fields already, and the query takes all; name the columns that you need`;
    }
    if (column.name !== name) {
      return `it differs from the field ${column.name} only in case, and SQL does not tell them apart`;
    }
    if ((column.kinds & kind) !== 0) return undefined;
    if (column.declared !== undefined)
      return `${kindName(kind)} does not fit the declared type ${column.declared}`;
    const before = columnType(column.kinds);
    const after = columnType(column.kinds | kind);
    const computed = this.#analysis.computed.has(name.toLowerCase());
    if (!computed || before === undefined || after !== 'JSON' || before === 'JSON') return undefined;
    return `${kindName(kind)} does not fit the type ${before} that earlier messages gave the column, and the query computes with it; declare its type in \`schema\` if it may have several`;
  }

  /** Takes in a kind of value. Gives the change of the column's type, if it had one before, and how to undo it. */
  admit({ name, kind }: Candidate): { widened: Widened | undefined; undo: () => void } {
    const key = name.toLowerCase();
    const before = this.#columns.get(key);
    const after = { name, declared: undefined, ...before, kinds: (before?.kinds ?? 0) | kind };
    this.#columns.set(key, after);
    this.#version++;
    const undo = (): void => {
      if (before === undefined) this.#columns.delete(key);
      else this.#columns.set(key, before);
      this.#version++;
    };
    const from = before && typeOf(before);
    const to = typeOf(after);
    return {
      widened: from === undefined || to === undefined || from === to ? undefined : { name, from, to },
      undo,
    };
  }
}

/** A column whose type changed. */
export interface Widened {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/** What the payloads are, and whether the query needs their metadata. */
export interface Form {
  readonly format: 'json' | 'text' | 'bytes';
  readonly metadata: boolean;
}

/** The SELECT that reads the batch, parameter 1: a JSON array in UTF-8, an element a message. */
export function flowSql(schema: FlowSchema, form: Form, missing: ReadonlyMap<string, string>): string {
  const columns =
    form.format === 'json'
      ? schema.columns()
      : [{ name: '__value__', kinds: Kind.STRING, declared: undefined } satisfies Column];
  const extracted: string[] = [];
  const selected: string[] = [];
  const row = form.metadata ? 'm.v.' : 'm.';
  for (const column of columns) {
    const type = typeOf(column);
    const name = identifier(column.name);
    if (type === undefined) {
      selected.push(`NULL AS ${name}`);
      continue;
    }
    const extractedAs = column.declared === undefined || isNested(column.declared) ? type : 'VARCHAR';
    extracted.push(`${JSON.stringify(column.name)}:${JSON.stringify(extractedAs)}`);
    const value = row + name;
    if (form.format === 'bytes') selected.push(`from_base64(${value}) AS ${name}`);
    else if (extractedAs === type) selected.push(`${value} AS ${name}`);
    else selected.push(`CAST(${value} AS ${type}) AS ${name}`);
  }
  for (const [name, type] of missing) {
    if (!columns.some((column) => column.name.toLowerCase() === name))
      selected.push(`${type} AS ${identifier(name)}`);
  }
  let structure = extracted.length === 0 ? '"JSON"' : `{${extracted.join(',')}}`;
  if (form.metadata) {
    structure = `{"v":${structure},"s":"VARCHAR","t":"BIGINT","e":"MAP(VARCHAR,VARCHAR)"}`;
    selected.push('m.s AS __meta_source', 'make_timestamp(m.t) AS __meta_ingest_time', 'm.e AS __meta_ext');
  }
  if (selected.length === 0) selected.push('NULL AS "__no_column__"');
  return `SELECT ${selected.join(', ')} FROM (SELECT unnest(from_json(decode($1::BLOB), ${literal(`[${structure}]`)})) AS m)`;
}

function typeOf(column: Column): string | undefined {
  return column.declared ?? columnType(column.kinds);
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

function declaredKinds(type: string): number {
  const any = NUMBERS | Kind.BOOL | Kind.STRING | Kind.NESTED | Kind.NULL;
  if (/^json$/i.test(type)) return any;
  if (isNested(type)) return Kind.NESTED | Kind.NULL;
  if (/^(varchar|text|string|char|bpchar)\b/i.test(type)) return any & ~Kind.NESTED;
  if (/^bool/i.test(type)) return Kind.BOOL | Kind.NULL;
  if (/^u?(tiny|small|big|huge)?int|^integer|^(long|short|signed)$/i.test(type)) {
    return Kind.INT | Kind.LONG | Kind.BIGINT | Kind.NULL;
  }
  if (/^(double|float|real|decimal|numeric)/i.test(type)) return NUMBERS | Kind.NULL;
  return Kind.STRING | Kind.NULL;
}

function isNested(type: string): boolean {
  return /^(struct|map|union)\b|\[\d*\]$/i.test(type);
}

function kindName(kind: number): string {
  if ((kind & Kind.NULL) !== 0) return 'null';
  if ((kind & Kind.BOOL) !== 0) return 'a boolean';
  if ((kind & Kind.STRING) !== 0) return 'a string';
  if ((kind & Kind.NESTED) !== 0) return 'an object or array';
  return (kind & Kind.FLOAT) !== 0 ? 'a number with a fraction' : 'an integer';
}
