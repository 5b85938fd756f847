import type { Batch } from '../message/batch.ts';
import { pathKey, type Path } from '../message/field-path.ts';
import { jsonColumn } from '../message/json-columns.ts';
import { declaredColumn } from '../message/json-declared.ts';
import { fieldKinds } from '../message/json-kinds.ts';
import { createSlices, type Slices } from '../message/json-slices.ts';
import { selectValues, type BytesValues, type ColumnType, type Values } from '../message/rows.ts';
import type { Admitted } from './admission.ts';
import type { ReadColumns } from './path-edits.ts';
import type { FlowSchema } from './flow-schema.ts';
import { FlowTable } from './flow-table.ts';
import type { PathForm } from './reference-paths.ts';
import { ONLY_FIELDS, type RowsFlow } from './rows-flow.ts';

/** The table that a query reads, for batches of one kind. A statement for it is prepared once. */
export interface Flow extends ReadColumns {
  readonly table: FlowTable;
  /** True if messages have fields: they are JSON or rows. */
  readonly hasFields: boolean;
  /** Columns that the query names but the table lacks: folded names, with the query's spelling. */
  readonly missing: ReadonlyMap<string, string>;
  /** Columns of the table, by their names in SQL, that the database converts to a declared type. */
  readonly converted: ReadonlySet<string>;
  /** The names of fields whose name in SQL is another. */
  readonly renamed: ReadonlyMap<string, string>;
  /** True if a row can have the value from its message, without the database. */
  readonly isGiven: (path: Path) => boolean;
}

/** The places of messages in a batch, or undefined for all of them. */
type Places = readonly number[] | undefined;

/** A field of messages, for rows that are made of one message each. */
export interface PassedField {
  readonly name: string;
  /** Its name in SQL if the database converts it; its values then come from there. */
  readonly converted?: string;
  readonly type: ColumnType;
  readonly values: (places: Places) => Values;
}

/** A batch as that table. */
export interface Source {
  readonly flow: Flow;
  /** The values of a column of the table. */
  readonly values: (column: number, places: Places) => Values;
  /** All fields of the messages. */
  readonly fields: () => readonly PassedField[];
  readonly field: (path: Path, form: PathForm) => PassedField;
}

/** A part of a batch: its messages, and their places in the whole batch; undefined if it is the whole. */
export interface Part {
  readonly batch: Batch;
  readonly places: Places;
}

/** The messages at `indices` of the part. */
export function partOf({ batch, places }: Part, indices: readonly number[]): Part {
  return { batch: batch.select(indices), places: placesAt(places, indices) };
}

export function placesAt(places: Places, indices: readonly number[]): readonly number[] {
  return places === undefined ? indices : indices.map((index) => places[index]!);
}

/** A schema never changes, and a quiet stream has a batch for each message. */
const jsonFlows = new WeakMap<FlowSchema, Flow>();

export function jsonFlow(schema: FlowSchema): Flow {
  let flow = jsonFlows.get(schema);
  if (flow === undefined) {
    flow = {
      table: schema.table,
      hasFields: true,
      missing: schema.missing,
      converted: schema.table.converted,
      fields: schema.tableColumns.flatMap(({ path, as }) => (path.length === 1 ? [as] : [])),
      renamed: schema.table.renamed,
      reads: (path, form) => {
        if (path.length > 1) return schema.isParted(path[0]);
        return form === 'value' || schema.isSpelled(path);
      },
      isGiven: (path) => schema.isGiven(schema.named(path) ?? path),
    };
    jsonFlows.set(schema, flow);
  }
  return flow;
}

/** Messages of JSON: their values become a column when somebody asks for it. */
export function jsonSource({ payloads }: Batch, { schema, slices: found, converted }: Admitted): Source {
  const slices = (path: Path): Slices | undefined =>
    schema.isWhole(path) ? wholeWhereAbsent(payloads, found(path)) : found(path);
  const passed = (path: Path, form: PathForm, name: string): PassedField => {
    const type: ColumnType =
      form === 'text' ? { kind: 'varchar' } : form === 'json' ? { kind: 'json' } : schema.passedType(path);
    return { name, type, values: (places) => jsonColumn(payloads, slices(path), type, places) };
  };
  const values = (column: number, places: Places): Values => {
    const { path, type, converts } = schema.tableColumns[column]!;
    if (converts === undefined) return jsonColumn(payloads, slices(path), type, places);
    // The messages whose values do not convert have been rejected.
    const all = converted?.get(column) ?? declaredColumn(payloads, slices(path), converts, () => undefined);
    return places === undefined ? all : selectValues(all, places);
  };
  /** A field of a declared type; the database makes its values if it converts them. */
  const declared = (path: Path, as: string): PassedField => {
    const column = schema.tableColumns.findIndex((each) => pathKey(each.path) === pathKey(path));
    const { type } = schema.tableColumns[column]!;
    const isConverted = schema.table.converted.has(as);
    return {
      name: as,
      type,
      values: (places) => values(column, places),
      ...(isConverted && { converted: as }),
    };
  };
  return {
    flow: jsonFlow(schema),
    values,
    fields: () =>
      [...schema.columns].flatMap(({ path, as, declared: wanted, shown }) => {
        if (path.length > 1 || (!shown && wanted === undefined)) return [];
        return [wanted === undefined ? passed(path, 'value', path[0]) : declared(path, as)];
      }),
    field: (path, form) => {
      const named = schema.named(path) ?? path;
      const column = schema.column(named);
      return column?.declared === undefined ? passed(named, form, '') : declared(named, column.as);
    },
  };
}

/** The slices of a field, and of the whole message where it has no such field. */
function wholeWhereAbsent(payloads: readonly Uint8Array[], found: Slices | undefined): Slices {
  const whole = createSlices(payloads.length);
  for (const [index, { length }] of payloads.entries()) {
    const kinds = found?.kinds[index] ?? 0;
    whole.kinds[index] = kinds === 0 ? fieldKinds.OBJECT : kinds;
    whole.starts[index] = kinds === 0 ? 0 : found!.starts[index]!;
    whole.ends[index] = kinds === 0 ? length : found!.ends[index]!;
  }
  return whole;
}

const VALUE = { name: '__value__', as: '__value__', declared: undefined, isWritten: true };
const TEXT_TABLE = new FlowTable([{ ...VALUE, type: { kind: 'varchar' } }]);
const BYTES_TABLE = new FlowTable([{ ...VALUE, type: { kind: 'blob' } }]);

/**
 * Messages that are not JSON have no fields. They are NULL in a stream that has JSON as well; in any other, a query that
 * names one is most likely meant for JSON, and fails.
 */
export function payloadSource({ payloads, format }: Batch, schema: FlowSchema): Source {
  const table = format === 'text' ? TEXT_TABLE : BYTES_TABLE;
  const values = (places: Places): Values =>
    bytesOf(places === undefined ? payloads : places.map((place) => payloads[place]!));
  const field: PassedField = { name: '__value__', type: table.fields[0]!.type, values };
  return {
    flow: {
      table,
      hasFields: false,
      missing: schema.isMixed ? schema.missingBeside([VALUE.as]) : new Map(),
      converted: table.converted,
      fields: ['__value__'],
      renamed: table.renamed,
      reads: () => false,
      isGiven: () => false,
    },
    values: (_, places) => values(places),
    fields: () => [field],
    field: () => field,
  };
}

function bytesOf(payloads: readonly Uint8Array[]): BytesValues {
  const offsets = new Uint32Array(payloads.length + 1);
  for (const [index, { length }] of payloads.entries()) offsets[index + 1] = offsets[index]! + length;
  return { storage: 'bytes', valid: undefined, offsets, data: Buffer.concat(payloads) };
}

export function rowsSource({ rows }: Batch, flow: RowsFlow): Source {
  const { table, missing, places: indices, converted } = flow;
  const fieldAt = (index: number): PassedField => {
    const { name, type, values } = rows!.columns[index]!;
    return { name, type, values: (places) => (places === undefined ? values : selectValues(values, places)) };
  };
  return {
    flow: {
      table,
      hasFields: true,
      missing,
      converted: table.converted,
      fields: table.names(ONLY_FIELDS),
      renamed: table.renamed,
      reads: (path, form) => path.length === 1 && form === 'value',
      isGiven: (path) => path.length === 1 && flow.indexOf(path[0]) !== undefined,
    },
    values: (column, places) => fieldAt(indices[column]!).values(places),
    fields: () =>
      indices.map((index, column) => {
        const field = fieldAt(index);
        const as = converted[column];
        return as === undefined ? field : { ...field, name: as, converted: as };
      }),
    field: ([name]) => fieldAt(flow.indexOf(name)!),
  };
}
