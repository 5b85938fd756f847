import type { Path } from '../message/field-path.ts';
import { fieldKinds as Kind } from '../message/json-kinds.ts';
import { storedType as declaredStored } from '../message/json-declared.ts';
import type { Shape } from '../message/json-shape.ts';
import type { BytesKind, ColumnType, FixedKind } from '../message/rows.ts';

const NUMBERS = Kind.INT | Kind.LONG | Kind.BIGINT | Kind.FLOAT | Kind.HUGE;

/** A declared type: as DuckDB names it, and as rows have it; undefined for a type that rows cannot have. */
export interface Declared {
  readonly sql: string;
  readonly type: ColumnType | undefined;
}

export interface Column {
  /** Its place in messages; a message may spell its names in other case. */
  readonly path: Path;
  /** Its name in SQL. */
  readonly as: string;
  /** The kinds of JSON value that it has had. */
  readonly kinds: number;
  /** The type that the user declared, in DuckDB's spelling, or undefined if the column follows the data. */
  readonly declared?: string;
  /** The same as rows have it; undefined for a type that only the database converts from JSON. */
  readonly converts?: ColumnType | undefined;
  /** True if a message has had it. */
  readonly shown: boolean;
  /** The type that its objects and arrays have in common, if the query takes them apart. */
  readonly shape?: Shape;
}

export function typeOf(column: Column): string | undefined {
  return column.declared ?? columnType(column.kinds);
}

/** The type of the column's values in the table: for a declared type, itself, or one that SQL converts to it. */
export function storedType(column: Column): ColumnType {
  const { declared, converts } = column;
  if (converts !== undefined) return declaredStored(converts);
  if (declared !== undefined) return { kind: declared === 'JSON' || isNested(declared) ? 'json' : 'varchar' };
  const { kinds, shape } = column;
  if (shape !== undefined && (kinds & Kind.NESTED) !== 0 && (kinds & ~(Kind.NESTED | Kind.NULL)) === 0)
    return shape.type;
  return { kind: STORED[columnType(column.kinds) ?? ''] ?? 'null' };
}

const STORED: Readonly<Record<string, BytesKind | FixedKind>> = {
  BOOLEAN: 'boolean',
  BIGINT: 'bigint',
  HUGEINT: 'hugeint',
  DOUBLE: 'double',
  VARCHAR: 'varchar',
  JSON: 'json',
};

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
  const classes = {
    object: Kind.OBJECT,
    array: Kind.ARRAY,
    string: Kind.STRING,
    boolean: Kind.BOOL,
    number: NUMBERS,
  };
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
