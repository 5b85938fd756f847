import { MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { fieldKinds } from '../message/json-kinds.ts';
import type { ColumnType, Rows, StructField, Values } from '../message/rows.ts';
import { hasDeepText } from '../message/text-depth.ts';
import { TOO_DEEP } from './admission.ts';
import { sqlErrors } from './sql-errors.ts';
import { identifier, literal } from './database.ts';
import { metadataValues } from './encode.ts';
import type { FlowSchema } from './flow-schema.ts';
import type { FlowOptions } from './flow-sql.ts';
import { metadataColumns, metadataStructure, ROW } from './metadata.ts';
import { columnName, ROW_NUMBER } from './row-table-names.ts';
import { shorten } from './spellings.ts';

/** A column of the table that a query reads, and its place in the rows. */
interface FlowColumn {
  readonly index: number;
  readonly name: string;
  readonly as: string;
  readonly type: ColumnType;
  /** The declared type, if the file declares one. */
  readonly declared: string | undefined;
}

/** The table that a query reads if the batch is typed rows: those of its columns that the query can see. */
export class RowsFlow {
  /** Names and types of the rows. */
  readonly fields: readonly StructField[];
  readonly #schema: FlowSchema;
  readonly #columns: readonly FlowColumn[] = [];
  /** The field that conflicts with the query's own names, and why. */
  readonly #objection: { readonly field: string; readonly message: string } | undefined;

  /** `declared`: only the columns that the file declares. */
  constructor(fields: readonly StructField[], declared: FlowSchema) {
    this.fields = fields;
    let schema = declared;
    const columns: FlowColumn[] = [];
    for (const [index, { name, type }] of fields.entries()) {
      if (declared.ignores(name)) continue;
      const next = schema.with({ name, kind: fieldKinds.NULL }, () => false);
      if (typeof next === 'string') {
        this.#objection = { field: name, message: `field ${shorten(name)}: ${next}` };
        break;
      }
      schema = next;
      const { as, declared: wanted } = schema.column(name)!;
      columns.push({ index, name, as, type, declared: wanted });
    }
    this.#schema = schema;
    this.#columns = columns;
  }

  /** Columns that the query names but the rows lack: folded names, with the query's spelling. */
  get missing(): Map<string, string> {
    return this.#schema.missing;
  }

  /** True for rows with these columns. */
  fits(rows: Rows): boolean {
    const { columns } = rows;
    return (
      columns.length === this.fields.length &&
      columns.every(({ name, type }, index) => {
        const field = this.fields[index]!;
        return (
          name === field.name && (type === field.type || JSON.stringify(type) === JSON.stringify(field.type))
        );
      })
    );
  }

  /** Rejects the rows that the query cannot take. @returns their places, ascending */
  check(batch: Batch, reject: (rejection: Rejection) => void): number[] {
    const objection = this.#objection;
    if (objection !== undefined) {
      const { field, message } = objection;
      const error = new MillraceError(sqlErrors.MILLRACE_SQL_FIELD_CONFLICT, message);
      for (let index = 0; index < batch.length; index++) reject({ index, error, field });
      return Array.from({ length: batch.length }, (_, index) => index);
    }
    if (!this.#schema.parsesText) return [];
    const deep = new Set<number>();
    for (const { values } of batch.rows!.columns) addDeep(values, deep);
    const refused = [...deep].toSorted((a, b) => a - b);
    const error =
      refused.length === 0 ? undefined : new MillraceError(sqlErrors.MILLRACE_SQL_TEXT_TOO_DEEP, TOO_DEEP);
    for (const index of refused) reject({ index, error: error! });
    return refused;
  }

  /** The SELECT that reads the rows from the table of that name (`RowTable`). */
  sql(table: string, { metadata, missing, nullOf, probe = false, numbered = false }: FlowOptions): string {
    const selected: string[] = [];
    const faults: string[] = [];
    const found = new Set<string>();
    for (const { index, name, as, type, declared } of this.#columns) {
      found.add(name);
      const value = columnName(index);
      const { strict, lenient, fault } = read(value, name, type, declared, nullOf);
      selected.push(`${probe ? lenient : strict} AS ${identifier(as)}`);
      if (fault !== undefined) faults.push(fault);
    }
    // Declared, but absent from the rows.
    for (const { name, as, declared } of this.#schema.columns)
      if (!found.has(name) && declared !== undefined) selected.push(`NULL::${declared} AS ${identifier(as)}`);
    for (const name of missing) selected.push(`${nullOf(name)} AS ${identifier(name)}`);
    if (metadata === 'columns') selected.push(...metadataColumns('m'));
    if (probe) selected.push(`coalesce(${[...faults, 'NULL'].join(', ')}) AS __fault__`);
    if (probe || metadata === 'row' || numbered) selected.push(`${ROW_NUMBER} AS ${ROW}`);
    if (selected.length === 0) selected.push('NULL AS "__no_column__"');
    const structure = literal(JSON.stringify(metadataStructure));
    const meta = `, from_json(${columnName(this.fields.length)}, ${structure}) AS m`;
    const rows = metadata === 'columns' ? `(SELECT *${meta} FROM ${table}())` : `${table}()`;
    return `SELECT ${selected.join(', ')} FROM ${rows}`;
  }
}

/** The rows for the table: the batch's rows, and, if the query reads it, the metadata of each as another column. */
export function tableRows(batch: Batch, withMetadata: boolean): Rows {
  const { length, columns } = batch.rows!;
  if (!withMetadata) return { length, columns };
  return { length, columns: [...columns, { ...METADATA_FIELD, values: metadataValues(batch) }] };
}

export const METADATA_FIELD: StructField = { name: 'metadata', type: { kind: 'varchar' } };

function read(
  value: string,
  name: string,
  type: ColumnType,
  declared: string | undefined,
  nullOf: (name: string) => string,
): { strict: string; lenient: string; fault?: string } {
  if (type.kind === 'null') {
    const none = declared === undefined ? nullOf(name) : `NULL::${declared}`;
    return { strict: none, lenient: none };
  }
  if (declared === undefined) return { strict: value, lenient: value };
  const lenient = `TRY_CAST(${value} AS ${declared})`;
  const failure = `${literal(`field ${name}: `)} || left(CAST(${value} AS VARCHAR), 100) || ${literal(` does not convert to the declared type ${declared}`)}`;
  return {
    lenient,
    strict: `CASE WHEN ${value} IS NULL THEN NULL ELSE coalesce(${lenient}, error(${failure})) END`,
    fault: `CASE WHEN ${value} IS NOT NULL AND ${lenient} IS NULL THEN ${failure} END`,
  };
}

/** Adds the places of values that are or contain text with deep brackets. */
function addDeep(values: Values, deep: Set<number>): void {
  if (values.storage === 'fixed') return;
  if (values.storage === 'struct') {
    for (const field of values.fields) addDeep(field, deep);
    return;
  }
  const { offsets } = values;
  const count = offsets.length - 1;
  if (values.storage === 'bytes') {
    for (let row = 0; row < count; row++)
      if (hasDeepText(values.data.subarray(offsets[row], offsets[row + 1]))) deep.add(row);
    return;
  }
  const inside = new Set<number>();
  for (const items of values.items) addDeep(items, inside);
  if (inside.size === 0) return;
  for (let row = 0; row < count; row++)
    for (let item = offsets[row]!; item < offsets[row + 1]!; item++) if (inside.has(item)) deep.add(row);
}
