import { MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Path } from '../message/field-path.ts';
import { fieldKinds } from '../message/json-kinds.ts';
import type { Rows, StructField, Values } from '../message/rows.ts';
import { hasDeepText } from '../message/text-depth.ts';
import { TOO_DEEP } from './admission.ts';
import { sqlErrors } from './sql-errors.ts';
import { fold } from './database.ts';
import type { FlowSchema } from './flow-schema.ts';
import { FlowTable, type FlowColumn, type FlowOptions } from './flow-table.ts';
import { shorten } from './spellings.ts';

/** Without metadata and the like. */
export const ONLY_FIELDS: FlowOptions = { hasMetadata: false, missing: [], nullOf: () => 'NULL' };

/** The table that a query reads if the batch is typed rows: those of its columns that the query can see. */
export class RowsFlow {
  /** Names and types of the rows. */
  readonly fields: readonly StructField[];
  readonly table: FlowTable;
  /** The place in the rows of each column of the table. */
  readonly places: readonly number[];
  /** The names in SQL of columns of the table that have a declared type. */
  readonly converted: readonly (string | undefined)[];
  readonly #schema: FlowSchema;
  /** The field that conflicts with the query's own names, and why. */
  readonly #objection: { readonly field: string; readonly message: string } | undefined;

  /** `declared`: only the columns that the file declares. */
  constructor(fields: readonly StructField[], declared: FlowSchema) {
    this.fields = fields;
    let schema = declared;
    const columns: FlowColumn[] = [];
    const places: number[] = [];
    const converted: (string | undefined)[] = [];
    const found = new Set<string>();
    for (const [index, { name, type }] of fields.entries()) {
      if (declared.ignores(name)) continue;
      const path: Path = declared.named([name]) ?? [name];
      // A field of the column's own spelling counts, whatever others are like it.
      if (path[0] !== name && fields.some((other) => other.name === path[0])) continue;
      const next = schema.with({ path, kind: fieldKinds.NULL }, () => false);
      if (typeof next === 'string') {
        this.#objection = { field: name, message: `field ${shorten(name)}: ${next}` };
        break;
      }
      schema = next;
      const { as, declared: wanted } = schema.column(path)!;
      found.add(as);
      columns.push({ name, as, type, declared: wanted, isWritten: false });
      places.push(index);
      converted.push(wanted === undefined ? undefined : as);
    }
    const absent = [...schema.columns].flatMap(({ as, declared: wanted }) =>
      wanted === undefined || found.has(as) ? [] : [{ as, declared: wanted }],
    );
    this.#schema = schema;
    this.places = places;
    this.converted = converted;
    this.table = new FlowTable(columns, absent);
  }

  /** Columns that the query names but the rows lack: folded names, with the query's spelling. */
  get missing(): Map<string, string> {
    const there = new Set(this.table.names(ONLY_FIELDS).map(fold));
    return new Map([...this.#schema.missing].filter(([, name]) => !there.has(fold(name))));
  }

  /** The place in the rows of the column that the query passes on by this name, unless its type is declared. */
  indexOf(name: string): number | undefined {
    const [key] = this.#schema.named([name]) ?? [name];
    const exact = this.places.findIndex((place) => this.fields[place]!.name === key);
    const column =
      exact >= 0 ? exact : this.places.findIndex((place) => fold(this.fields[place]!.name) === fold(name));
    return this.converted[column] === undefined ? this.places[column] : undefined;
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
