import * as duckdb from './duckdb-api.ts';
import { isFixed, type ColumnType, type FixedKind, type StructField } from '../message/rows.ts';

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

/** The column type for a DuckDB type; undefined for a type that rows cannot have (VARIANT, GEOMETRY). */
export function columnTypeOf(type: duckdb.DuckDBType): ColumnType | undefined {
  const kind = kindOf.get(type.typeId);
  if (kind !== undefined) return { kind };
  if (type.typeId === Id.VARCHAR) {
    if (type.alias === undefined) return { kind: 'varchar' };
    return type.alias === 'JSON' ? { kind: 'json' } : undefined;
  }
  if (type.typeId === Id.BLOB) return { kind: 'blob' };
  if (type.typeId === Id.BIT) return { kind: 'bit' };
  if (type.typeId === Id.BIGNUM) return { kind: 'bignum' };
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
  if (type instanceof duckdb.DuckDBStructType) {
    const fields = fieldsOf(type.entryNames, type.entryTypes);
    return fields && { kind: 'struct', fields };
  }
  if (type instanceof duckdb.DuckDBMapType) {
    const [key, value] = [columnTypeOf(type.keyType), columnTypeOf(type.valueType)];
    return key === undefined || value === undefined ? undefined : { kind: 'map', key, value };
  }
  if (type instanceof duckdb.DuckDBUnionType) {
    const members = fieldsOf(type.memberTags, type.memberTypes);
    return members && { kind: 'union', members };
  }
  return undefined;
}

function fieldsOf(names: readonly string[], types: readonly duckdb.DuckDBType[]): StructField[] | undefined {
  const fields: StructField[] = [];
  for (const [index, name] of names.entries()) {
    const type = columnTypeOf(types[index]!);
    if (type === undefined) return undefined;
    fields.push({ name, type });
  }
  return fields;
}

/** The DuckDB type for a column type. */
export function duckTypeOf(type: ColumnType): duckdb.DuckDBType {
  if (isFixed(type)) return fixedType.get(type.kind)!;
  if (type.kind === 'varchar') return duckdb.VARCHAR;
  if (type.kind === 'json') return JSON_TYPE;
  if (type.kind === 'blob') return duckdb.BLOB;
  if (type.kind === 'bit') return duckdb.BIT;
  if (type.kind === 'bignum') return duckdb.BIGNUM;
  if (type.kind === 'decimal') return duckdb.DECIMAL(type.width, type.scale);
  if (type.kind === 'enum') return duckdb.ENUM(type.values);
  if (type.kind === 'list') return duckdb.LIST(duckTypeOf(type.of));
  if (type.kind === 'array') return duckdb.ARRAY(duckTypeOf(type.of), type.length);
  if (type.kind === 'map') return duckdb.MAP(duckTypeOf(type.key), duckTypeOf(type.value));
  if (type.kind !== 'struct' && type.kind !== 'union') throw new TypeError(`DuckDB has no type ${type.kind}`);
  const fields = type.kind === 'struct' ? type.fields : type.members;
  const names = fields.map(({ name }) => name);
  const types = fields.map((field) => duckTypeOf(field.type));
  // Not built from an object, in which `__proto__` would not become a field.
  return type.kind === 'struct'
    ? new duckdb.DuckDBStructType(names, types)
    : new duckdb.DuckDBUnionType(names, types);
}
