import { fieldKinds as Kind } from '../message/json-fields.ts';

const NUMBERS = Kind.INT | Kind.LONG | Kind.BIGINT | Kind.FLOAT | Kind.HUGE;

export interface Column {
  /** How messages spell it. */
  readonly name: string;
  /** How the query sees it. */
  readonly as: string;
  /** The kinds of JSON value that it has had. */
  readonly kinds: number;
  /** The type that the user declared, as DuckDB names it, or undefined when it follows the data. */
  readonly declared?: string;
  /** True when a message has had it. */
  readonly shown: boolean;
}

export function typeOf(column: Column): string | undefined {
  return column.declared ?? columnType(column.kinds);
}

export function isNested(type: string): boolean {
  return /^(STRUCT|MAP|UNION)\b|\]$/.test(type);
}

/** The narrowest type that holds the kinds exactly; undefined for a column that was only ever null. */
export function columnType(kinds: number): string | undefined {
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
export function declaredKinds(type: string): number {
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

/** What a value is, as senders are told apart by it. */
export function classOf(kind: number): string {
  return classesOf(kind)[0] ?? 'number';
}

/** What the values of a column are: as JSON they may be several things. */
export function classesOf(kinds: number): string[] {
  const classes = { nested: Kind.NESTED, string: Kind.STRING, boolean: Kind.BOOL, number: NUMBERS };
  return Object.entries(classes).flatMap(([name, mask]) => ((kinds & mask) === 0 ? [] : [name]));
}

/** In words. */
export function kindName(kind: number): string {
  if ((kind & Kind.NULL) !== 0) return 'null';
  if ((kind & Kind.BOOL) !== 0) return 'a boolean';
  if ((kind & Kind.STRING) !== 0) return 'a string';
  if ((kind & Kind.NESTED) !== 0) return 'an object or array';
  return (kind & Kind.FLOAT) !== 0 ? 'a number with a fraction' : 'an integer';
}
