import { fieldKinds as Kind } from '../message/json-kinds.ts';

const NUMBERS = Kind.INT | Kind.LONG | Kind.BIGINT | Kind.FLOAT | Kind.HUGE;

export interface Column {
  /** The spelling in messages. */
  readonly name: string;
  /** The column as the query sees it. */
  readonly as: string;
  /** The kinds of JSON value that it has had. */
  readonly kinds: number;
  /** The type that the user declared, in DuckDB's spelling, or undefined if the column follows the data. */
  readonly declared?: string;
  /** True if a message has had it. */
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

/** True if the column has had only numbers. */
export function isNumeric(column: Column): boolean {
  return (column.kinds & ~(NUMBERS | Kind.NULL)) === 0;
}

/** True if the column's values, taken from JSON as `type`, need no check because none can be out of range. */
export function isExact(column: Column, type: string): boolean {
  return type === 'JSON' || type === 'VARCHAR' || type === columnType(column.kinds);
}

/** Kinds that may fit a type. A string fits if it reads as one. */
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

/** The class of a value, by which senders are told apart. */
export function classOf(kind: number): string {
  return classesOf(kind)[0] ?? 'number';
}

/** The class of a column's values; as JSON they may be of several classes. */
export function classesOf(kinds: number): string[] {
  const classes = { nested: Kind.NESTED, string: Kind.STRING, boolean: Kind.BOOL, number: NUMBERS };
  return Object.entries(classes).flatMap(([name, mask]) => ((kinds & mask) === 0 ? [] : [name]));
}

/** The kind in words. */
export function kindName(kind: number): string {
  if ((kind & Kind.NULL) !== 0) return 'null';
  if ((kind & Kind.BOOL) !== 0) return 'a boolean';
  if ((kind & Kind.STRING) !== 0) return 'a string';
  if ((kind & Kind.NESTED) !== 0) return 'an object or array';
  return (kind & Kind.FLOAT) !== 0 ? 'a number with a fraction' : 'an integer';
}
