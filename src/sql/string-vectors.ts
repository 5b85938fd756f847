import { isUtf8 } from 'node:buffer';
import duckdb, { type Vector } from '@duckdb/node-bindings';
import { copyBytes } from '../message/copy-bytes.ts';
import type { BytesValues } from '../message/rows.ts';

/**
 * DuckDB's layout of a string: its length, and then the string itself if it is this short, otherwise its first four
 * bytes and a pointer to it.
 */
const STRING_BYTES = 16;
const INLINE_BYTES = 12;
const STRING_WORDS = STRING_BYTES / 4;
const TWO_32 = 0x1_0000_0000;
/** No system has smaller pages: memory between two addresses that can be read can be read if it is on their pages. */
const PAGE_BYTES = 4096;

/** The memory of a vector's values, in place. */
export function dataOf(vector: Vector, bytes: number): Uint8Array {
  return bytes === 0 ? new Uint8Array() : duckdb.vector_get_data(vector, bytes);
}

export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

export function copyToVector(
  vector: Vector,
  { buffer, byteOffset, byteLength }: Uint8Array | Uint32Array,
): void {
  if (byteLength > 0) duckdb.copy_data_to_vector(vector, 0, buffer as ArrayBuffer, byteOffset, byteLength);
}

/**
 * Writes strings to the beginning of a vector. Long ones go into the memory that the vector owns as one string, into
 * which the others point: a call for each would take most of the time of a query. `isText`: one that is not UTF-8 is
 * NULL, as DuckDB makes it.
 */
export function writeStrings(
  vector: Vector,
  isText: boolean,
  { offsets, data, valid }: BytesValues,
  start: number,
  count: number,
): void {
  const first = offsets[start]!;
  const block = data.subarray(first, offsets[start + count]);
  const strings = new Uint8Array(count * STRING_BYTES);
  const words = new Uint32Array(strings.buffer);
  let isLong = false;
  let isCut = false;
  for (let at = 0; at < count; at++) {
    if (valid?.[start + at] === 0) continue;
    const from = offsets[start + at]!;
    const length = offsets[start + at + 1]! - from;
    words[at * STRING_WORDS] = length;
    if (length === 0) continue;
    const to = at * STRING_BYTES + 4;
    const shown = length > INLINE_BYTES ? 4 : length;
    for (let index = 0; index < shown; index++) strings[to + index] = data[from + index]!;
    if (length > INLINE_BYTES) isLong = true;
    if ((data[from]! & 0xc0) === 0x80) isCut = true;
  }
  if (isText && (isCut || !isUtf8(block))) {
    for (let at = 0; at < count; at++) {
      const part = data.subarray(offsets[start + at], offsets[start + at + 1]);
      if (valid?.[start + at] !== 0) duckdb.vector_assign_string_element_len(vector, at, part);
    }
    return;
  }
  if (isLong) {
    duckdb.vector_assign_string_element_len(vector, 0, block);
    const base = pointerAt(viewOf(dataOf(vector, STRING_BYTES)), 0);
    for (let at = 0; at < count; at++) {
      const word = at * STRING_WORDS;
      if (words[word]! <= INLINE_BYTES) continue;
      const pointer = base + offsets[start + at]! - first;
      words[word + 2] = pointer % TWO_32;
      words[word + 3] = Math.floor(pointer / TWO_32);
    }
  }
  copyToVector(vector, strings);
}

/** The pointer of the string at `at`. An address has at most 52 bits. */
function pointerAt(view: DataView, at: number): number {
  return view.getUint32(at + 12, true) * TWO_32 + view.getUint32(at + 8, true);
}

/** Copies strings out of a vector. */
export function readStrings(vector: Vector, count: number, valid: Uint8Array | undefined): BytesValues {
  const strings = dataOf(vector, count * STRING_BYTES);
  const view = viewOf(strings);
  const offsets = new Uint32Array(count + 1);
  let long = 0;
  for (let at = 0; at < count; at++) {
    const length = valid?.[at] === 0 ? 0 : view.getUint32(at * STRING_BYTES, true);
    offsets[at + 1] = offsets[at]! + length;
    if (length > INLINE_BYTES) long++;
  }
  const data = new Uint8Array(offsets[count]!);
  if (long > 0) readLong(strings, view, offsets, long, data);
  if (long === count) return { storage: 'bytes', valid, offsets, data };
  for (let at = 0; at < count; at++) {
    const to = offsets[at]!;
    const length = offsets[at + 1]! - to;
    if (length > INLINE_BYTES) continue;
    const from = at * STRING_BYTES + 4;
    for (let byte = 0; byte < length; byte++) data[to + byte] = strings[from + byte]!;
  }
  return { storage: 'bytes', valid, offsets, data };
}

/** Memory that holds long strings which lie close to each other. */
interface Region {
  readonly start: number;
  end: number;
  /** The place of the string with which it begins. */
  first: number;
  bytes: Uint8Array | undefined;
}

/** Reads long strings, of which there are `long`, with one call for all those that lie close to each other. */
function readLong(
  strings: Uint8Array,
  view: DataView,
  offsets: Uint32Array,
  long: number,
  data: Uint8Array,
): void {
  const count = offsets.length - 1;
  const pointers = new Float64Array(long);
  for (let at = 0, found = 0; found < long; at++)
    if (offsets[at + 1]! - offsets[at]! > INLINE_BYTES)
      pointers[found++] = pointerAt(view, at * STRING_BYTES);
  const regions = regionsOf(pointers);
  for (let at = 0; at < count; at++) {
    const length = offsets[at + 1]! - offsets[at]!;
    if (length <= INLINE_BYTES) continue;
    const pointer = pointerAt(view, at * STRING_BYTES);
    const region = regionAt(regions, pointer);
    if (pointer === region.start) region.first = at;
    if (pointer + length > region.end) region.end = pointer + length;
  }
  for (const region of regions) {
    const pointer = strings.byteOffset + region.first * STRING_BYTES + 8;
    const { buffer } = strings as { buffer: ArrayBuffer };
    region.bytes = duckdb.get_data_from_pointer(buffer, pointer, region.end - region.start);
  }
  for (let at = 0; at < count; at++) {
    const to = offsets[at]!;
    const length = offsets[at + 1]! - to;
    if (length <= INLINE_BYTES) continue;
    const pointer = pointerAt(view, at * STRING_BYTES);
    const { start, bytes } = regionAt(regions, pointer);
    copyBytes(bytes!, pointer - start, pointer - start + length, data, to);
  }
}

/** The regions of strings with these pointers, in order. All memory of a region can be read: see `PAGE_BYTES`. */
function regionsOf(pointers: Float64Array): Region[] {
  if (!isAscending(pointers)) pointers.sort();
  const regions: Region[] = [];
  let page = -2;
  for (const start of pointers) {
    const own = Math.floor(start / PAGE_BYTES);
    if (own > page + 1) regions.push({ start, end: start, first: 0, bytes: undefined });
    page = own;
  }
  return regions;
}

function isAscending(numbers: Float64Array): boolean {
  for (let at = 1; at < numbers.length; at++) if (numbers[at]! < numbers[at - 1]!) return false;
  return true;
}

/** The last region that begins at or before the pointer. */
function regionAt(regions: readonly Region[], pointer: number): Region {
  let low = 0;
  let high = regions.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (regions[middle]!.start <= pointer) low = middle;
    else high = middle - 1;
  }
  return regions[low]!;
}
