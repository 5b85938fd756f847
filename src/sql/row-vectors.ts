import duckdb, { type Vector } from '@duckdb/node-bindings';
import {
  innerTypes,
  selectValues,
  storageOf,
  type ColumnType,
  type ListValues,
  type Values,
} from '../message/rows.ts';
import { copyToVector, dataOf, readStrings, viewOf, writeStrings } from './string-vectors.ts';

// Values move between DuckDB's vectors and rows as blocks of memory: no object is made for a value of fixed size.

/** DuckDB's layout of a list: the start of its items, and their number, both below 2^32. */
const ENTRY_BYTES = 16;
const WORD = 64;

/** Copies `count` values out of a vector. `among`: the values whose parent is not NULL, if they have a parent. */
export function readVector(vector: Vector, type: ColumnType, count: number, among?: Uint8Array): Values {
  const valid = validityOf(vector, count, among);
  const { storage, width } = storageOf(type);
  if (type.kind === 'null')
    return { storage: 'fixed', valid: new Uint8Array(count), width, data: new Uint8Array(count) };
  if (storage === 'fixed') return { storage, valid, width, data: dataOf(vector, count * width).slice() };
  if (storage === 'bytes') return readStrings(vector, count, valid);
  if (type.kind === 'array') return readArrays(vector, type, count, valid);
  if (storage === 'list') return readLists(vector, type, count, valid);
  const fields = innerTypes(type).map((each, index) =>
    readVector(duckdb.struct_vector_get_child(vector, index), each, count, valid),
  );
  return { storage, valid, length: count, fields };
}

/** Writes `count` of the values, from `start` on, to the beginning of a vector with room for them. */
export function writeVector(
  vector: Vector,
  type: ColumnType,
  values: Values,
  start: number,
  count: number,
): void {
  writeValidity(vector, values.valid, start, count);
  if (type.kind === 'null') return;
  switch (values.storage) {
    case 'fixed': {
      const { data, width } = values;
      copyToVector(vector, data.subarray(start * width, (start + count) * width));
      return;
    }
    case 'bytes':
      writeStrings(vector, type.kind !== 'blob', values, start, count);
      return;
    case 'list':
      writeLists(vector, type, values, start, count);
      return;
    case 'struct':
      for (const [index, each] of innerTypes(type).entries())
        writeVector(duckdb.struct_vector_get_child(vector, index), each, values.fields[index]!, start, count);
  }
}

/** A byte for each value: 0 if it or its parent is NULL. Undefined if none is NULL. */
function validityOf(vector: Vector, count: number, among: Uint8Array | undefined): Uint8Array | undefined {
  // A vector without NULL has no validity mask, although the types of the binding say otherwise.
  const bits = duckdb.vector_get_validity(vector, Math.ceil(count / WORD) * 8) as Uint8Array | null;
  if (bits === null || count === 0 || areAllSet(bits, count)) return among;
  const valid = new Uint8Array(count);
  let all = true;
  for (let at = 0; at < count; at++) {
    const isValid = ((bits[at >> 3]! >> (at & 7)) & 1) === 1 && among?.[at] !== 0;
    if (isValid) valid[at] = 1;
    else all = false;
  }
  return all ? undefined : valid;
}

function areAllSet(bits: Uint8Array, count: number): boolean {
  const whole = count >> 3;
  for (let at = 0; at < whole; at++) if (bits[at] !== 0xff) return false;
  const rest = (1 << (count & 7)) - 1;
  return (bits[whole]! & rest) === rest;
}

function writeValidity(vector: Vector, valid: Uint8Array | undefined, start: number, count: number): void {
  if (valid === undefined || !valid.subarray(start, start + count).includes(0)) return;
  const bits = new Uint8Array(Math.ceil(count / WORD) * 8).fill(0xff);
  for (let at = 0; at < count; at++) if (valid[start + at] === 0) bits[at >> 3]! &= ~(1 << (at & 7));
  duckdb.vector_ensure_validity_writable(vector);
  duckdb.copy_data_to_vector_validity(vector, 0, bits.buffer, 0, bits.byteLength);
}

function readArrays(
  vector: Vector,
  type: Extract<ColumnType, { kind: 'array' }>,
  count: number,
  valid: Uint8Array | undefined,
): ListValues {
  const offsets = new Uint32Array(count + 1);
  for (let at = 0; at < count; at++) offsets[at + 1] = offsets[at]! + type.length;
  const inner = count * type.length;
  const among = valid && new Uint8Array(inner).map((_, at) => valid[Math.floor(at / type.length)]!);
  const items = readVector(duckdb.array_vector_get_child(vector), type.of, inner, among);
  return { storage: 'list', valid, offsets, items: [items] };
}

function readLists(
  vector: Vector,
  type: ColumnType,
  count: number,
  valid: Uint8Array | undefined,
): ListValues {
  const view = viewOf(dataOf(vector, count * ENTRY_BYTES));
  const offsets = new Uint32Array(count + 1);
  const starts = new Uint32Array(count);
  let inOrder = true;
  for (let at = 0; at < count; at++) {
    const length = valid?.[at] === 0 ? 0 : view.getUint32(at * ENTRY_BYTES + 8, true);
    const start = length === 0 ? offsets[at]! : view.getUint32(at * ENTRY_BYTES, true);
    if (start !== offsets[at]) inOrder = false;
    starts[at] = start;
    offsets[at + 1] = offsets[at]! + length;
  }
  const child = duckdb.list_vector_get_child(vector);
  const size = inOrder ? offsets[count]! : duckdb.list_vector_get_size(vector);
  const items = innerTypes(type).map((each, index) => {
    const inner = type.kind === 'map' ? duckdb.struct_vector_get_child(child, index) : child;
    return readVector(inner, each, size);
  });
  if (inOrder) return { storage: 'list', valid, offsets, items };
  const places = new Uint32Array(offsets[count]!);
  for (let at = 0; at < count; at++)
    for (let item = offsets[at]!; item < offsets[at + 1]!; item++)
      places[item] = starts[at]! + item - offsets[at]!;
  return { storage: 'list', valid, offsets, items: items.map((each) => selectValues(each, places)) };
}

function writeLists(
  vector: Vector,
  type: ColumnType,
  { offsets, items }: ListValues,
  start: number,
  count: number,
): void {
  const first = offsets[start]!;
  const size = offsets[start + count]! - first;
  if (type.kind === 'array') {
    writeVector(duckdb.array_vector_get_child(vector), type.of, items[0]!, first, size);
    return;
  }
  // Two numbers of 64 bits, of which the upper words stay 0.
  const entries = new Uint32Array(count * 4);
  for (let at = 0; at < count; at++) {
    const from = offsets[start + at]!;
    entries[at * 4] = from - first;
    entries[at * 4 + 2] = offsets[start + at + 1]! - from;
  }
  copyToVector(vector, new Uint8Array(entries.buffer));
  duckdb.list_vector_reserve(vector, size);
  duckdb.list_vector_set_size(vector, size);
  const child = duckdb.list_vector_get_child(vector);
  for (const [index, each] of innerTypes(type).entries()) {
    const inner = type.kind === 'map' ? duckdb.struct_vector_get_child(child, index) : child;
    writeVector(inner, each, items[index]!, first, size);
  }
}
