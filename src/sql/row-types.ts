import * as duckdb from '@duckdb/node-api';
import { isFixed, type ColumnType, type FixedKind } from '../message/rows.ts';

const { DuckDBTypeId: Id } = duckdb;

const FIXED: readonly (readonly [FixedKind, duckdb.DuckDBType])[] = [
  ['null', duckdb.SQLNULL],
  ['boolean', duckdb.BOOLEAN],
  ['tinyint', duckdb.TINYINT],
  ['smallint', duckdb.SMALLINT],
  ['integer', duckdb.INTEGER],
  ['bigint', duckdb.BIGINT],
  ['hugeint', duckdb.HUGEINT],
  ['utinyint', duckdb.UTINYINT],
  ['usmallint', duckdb.USMALLINT],
  ['uinteger', duckdb.UINTEGER],
  ['ubigint', duckdb.UBIGINT],
  ['uhugeint', duckdb.UHUGEINT],
  ['float', duckdb.FLOAT],
  ['double', duckdb.DOUBLE],
  ['date', duckdb.DATE],
  ['time', duckdb.TIME],
  ['time_ns', duckdb.TIME_NS],
  ['time_tz', duckdb.TIMETZ],
  ['timestamp_s', duckdb.TIMESTAMP_S],
  ['timestamp_ms', duckdb.TIMESTAMP_MS],
  ['timestamp', duckdb.TIMESTAMP],
  ['timestamp_ns', duckdb.TIMESTAMP_NS],
  ['timestamp_tz', duckdb.TIMESTAMPTZ],
  ['interval', duckdb.INTERVAL],
  ['uuid', duckdb.UUID],
];
const kindOf = new Map(FIXED.map(([kind, type]) => [type.typeId, kind]));
const fixedType = new Map(FIXED);
const JSON_TYPE = duckdb.DuckDBVarCharType.create('JSON');

/** In JSON, the key of a map is text, and DuckDB has its own way to write these types as text. */
const OWN_TEXT: ReadonlySet<string> = new Set(['float', 'double', 'list', 'array', 'struct', 'map']);

/** The column type for a DuckDB type; undefined for a type that rows cannot have (UNION, BIT, VARIANT…). */
export function columnTypeOf(type: duckdb.DuckDBType): ColumnType | undefined {
  const kind = kindOf.get(type.typeId);
  if (kind !== undefined) return { kind };
  if (type.typeId === Id.VARCHAR) {
    if (type.alias === undefined) return { kind: 'varchar' };
    return type.alias === 'JSON' ? { kind: 'json' } : undefined;
  }
  if (type.typeId === Id.BLOB) return { kind: 'blob' };
  if (type instanceof duckdb.DuckDBDecimalType)
    return { kind: 'decimal', width: type.width, scale: type.scale };
  if (type instanceof duckdb.DuckDBEnumType) return { kind: 'enum', values: [...type.values] };
  if (type instanceof duckdb.DuckDBListType) {
    const of = columnTypeOf(type.valueType);
    return of && { kind: 'list', of };
  }
  if (type instanceof duckdb.DuckDBArrayType) {
    const of = columnTypeOf(type.valueType);
    return of && { kind: 'array', of, length: type.length };
  }
  if (type instanceof duckdb.DuckDBStructType) return structTypeOf(type);
  if (type instanceof duckdb.DuckDBMapType) {
    const [key, value] = [columnTypeOf(type.keyType), columnTypeOf(type.valueType)];
    return key === undefined || value === undefined || OWN_TEXT.has(key.kind)
      ? undefined
      : { kind: 'map', key, value };
  }
  return undefined;
}

function structTypeOf(type: duckdb.DuckDBStructType): ColumnType | undefined {
  const names = type.entryNames;
  // `row(1, 2)` has no names.
  if (new Set(names).size < names.length) return undefined;
  const fields = names.flatMap((name, index) => {
    const field = columnTypeOf(type.entryTypes[index]!);
    return field === undefined ? [] : [{ name, type: field }];
  });
  return fields.length === names.length ? { kind: 'struct', fields } : undefined;
}

/** The DuckDB type for a column type. */
export function duckTypeOf(type: ColumnType): duckdb.DuckDBType {
  if (isFixed(type)) return fixedType.get(type.kind)!;
  if (type.kind === 'varchar') return duckdb.VARCHAR;
  if (type.kind === 'json') return JSON_TYPE;
  if (type.kind === 'blob') return duckdb.BLOB;
  if (type.kind === 'decimal') return duckdb.DECIMAL(type.width, type.scale);
  if (type.kind === 'enum') return duckdb.ENUM(type.values);
  if (type.kind === 'list') return duckdb.LIST(duckTypeOf(type.of));
  if (type.kind === 'array') return duckdb.ARRAY(duckTypeOf(type.of), type.length);
  if (type.kind === 'map') return duckdb.MAP(duckTypeOf(type.key), duckTypeOf(type.value));
  if (type.kind !== 'struct') throw new TypeError(`DuckDB has no type ${type.kind}`);
  // Not built from an object, in which `__proto__` would not become a field.
  return new duckdb.DuckDBStructType(
    type.fields.map(({ name }) => name),
    type.fields.map((field) => duckTypeOf(field.type)),
  );
}
