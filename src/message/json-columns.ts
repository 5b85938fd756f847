import { copyBytes } from './copy-bytes.ts';
import { compactJson } from './json-compact.ts';
import { ALL_KINDS, fieldKinds } from './json-kinds.ts';
import { itemsOf, membersOf } from './json-inner.ts';
import { readDouble, writeInt128, writeInt64 } from './json-numbers.ts';
import type { Slices } from './json-slices.ts';
import { writeUnescaped } from './json-text.ts';
import type {
  BytesValues,
  ColumnType,
  FixedValues,
  ListValues,
  StructField,
  StructValues,
  Values,
} from './rows.ts';

// Constants of this module rather than imported ones: V8 folds these into the code, which makes it a third faster.
const LOWER_T = 0x74;
const { NULL, BOOL, INT, LONG, BIGINT, FLOAT, HUGE, STRING, OBJECT, ARRAY, NESTED } = fieldKinds;
const INTEGERS = INT | LONG;
const NUMBERS = INTEGERS | BIGINT | HUGE | FLOAT;
const NOT_NULL = ALL_KINDS & ~NULL;

/** Values of JSON: `places` are those messages that are rows, or undefined for all. */
interface Source {
  readonly payloads: readonly Uint8Array[];
  readonly slices: Slices;
  readonly places: ArrayLike<number> | undefined;
  readonly length: number;
}

/**
 * The values at the slices as a column of the type, exactly:
 *
 * - BOOLEAN, BIGINT and HUGEINT of values of those kinds, and DOUBLE of any number, rounded as JSON.parse does (infinity
 *   if it is too large)
 * - VARCHAR: the characters of a string; anything else as JSON, without whitespace
 * - JSON: the value as it came
 * - LIST and STRUCT of arrays and objects: items and members alike
 *
 * An absent value, null, and a value of any other kind is NULL. `slices` is undefined if there is no value at all.
 *
 * @throws TypeError for another type
 */
export function jsonColumn(
  payloads: readonly Uint8Array[],
  slices: Slices | undefined,
  type: ColumnType,
  places?: ArrayLike<number>,
): Values {
  const length = places?.length ?? payloads.length;
  const source: Source = { payloads, slices: slices ?? noSlices(payloads.length), places, length };
  if (type.kind === 'list') return lists(source, type.of);
  if (type.kind === 'struct') return structs(source, type.fields);
  const read = SCALARS[type.kind];
  if (read === undefined) throw new TypeError(`JSON has no values of type ${type.kind}`);
  return read(source);
}

const SCALARS: Partial<Record<ColumnType['kind'], (source: Source) => Values>> = {
  null: nulls,
  boolean: booleans,
  bigint: bigints,
  hugeint: hugeints,
  double: doubles,
  varchar: texts,
  json: documents,
};

function noSlices(length: number): Slices {
  return { kinds: new Uint16Array(length), starts: new Uint32Array(), ends: new Uint32Array() };
}

/** A byte for each row: 0 if it has no value of these kinds. Undefined if all have one. */
function validOf({ slices: { kinds }, places, length }: Source, mask: number): Uint8Array | undefined {
  const valid = new Uint8Array(length);
  let count = 0;
  for (let row = 0; row < length; row++) {
    if ((kinds[places === undefined ? row : places[row]!]! & mask) === 0) continue;
    valid[row] = 1;
    count++;
  }
  return count === length ? undefined : valid;
}

function fixed(
  width: number,
  valid: Uint8Array | undefined,
  { buffer }: { buffer: ArrayBuffer },
): FixedValues {
  return { storage: 'fixed', width, valid, data: new Uint8Array(buffer) };
}

function nulls({ length }: Source): FixedValues {
  return { storage: 'fixed', width: 1, valid: new Uint8Array(length), data: new Uint8Array(length) };
}

function booleans(source: Source): FixedValues {
  const { payloads, slices, places, length } = source;
  const { starts } = slices;
  const valid = validOf(source, BOOL);
  const data = new Uint8Array(length);
  for (let row = 0; row < length; row++) {
    if (valid?.[row] === 0) continue;
    const place = places === undefined ? row : places[row]!;
    if (payloads[place]![starts[place]!] === LOWER_T) data[row] = 1;
  }
  return { storage: 'fixed', width: 1, valid, data };
}

function bigints(source: Source): FixedValues {
  const { payloads, slices, places, length } = source;
  const { starts, ends } = slices;
  const valid = validOf(source, INTEGERS);
  const words = new Uint32Array(length * 2);
  for (let row = 0; row < length; row++) {
    if (valid?.[row] === 0) continue;
    const place = places === undefined ? row : places[row]!;
    writeInt64(payloads[place]!, starts[place]!, ends[place]!, words, row * 2);
  }
  return fixed(8, valid, words);
}

function hugeints(source: Source): FixedValues {
  const { payloads, slices, places, length } = source;
  const { starts, ends } = slices;
  const valid = validOf(source, INTEGERS | BIGINT);
  const words = new BigUint64Array(length * 2);
  for (let row = 0; row < length; row++) {
    if (valid?.[row] === 0) continue;
    const place = places === undefined ? row : places[row]!;
    writeInt128(payloads[place]!, starts[place]!, ends[place]!, words, row * 2);
  }
  return fixed(16, valid, words);
}

function doubles(source: Source): FixedValues {
  const { payloads, slices, places, length } = source;
  const { starts, ends } = slices;
  const valid = validOf(source, NUMBERS);
  const data = new Float64Array(length);
  for (let row = 0; row < length; row++) {
    if (valid?.[row] === 0) continue;
    const place = places === undefined ? row : places[row]!;
    data[row] = readDouble(payloads[place]!, starts[place]!, ends[place]!);
  }
  return fixed(8, valid, data);
}

function texts(source: Source): BytesValues {
  const { payloads, slices, places, length } = source;
  const { kinds, starts, ends } = slices;
  const valid = validOf(source, NOT_NULL);
  const offsets = new Uint32Array(length + 1);
  const data = roomFor(source, valid);
  let end = 0;
  for (let row = 0; row < length; row++) {
    if (valid?.[row] !== 0) {
      const place = places === undefined ? row : places[row]!;
      const payload = payloads[place]!;
      const kind = kinds[place]!;
      const from = starts[place]!;
      const to = ends[place]!;
      if (kind === STRING) {
        copyBytes(payload, from + 1, to - 1, data, end);
        end += to - from - 2;
      } else if ((kind & STRING) !== 0) end = writeUnescaped(payload, from, data, end);
      else {
        const json =
          (kind & NESTED) === 0 ? payload.subarray(from, to) : compactJson(payload.subarray(from, to));
        data.set(json, end);
        end += json.length;
      }
    }
    offsets[row + 1] = end;
  }
  return { storage: 'bytes', valid, offsets, data: data.subarray(0, end) };
}

function documents(source: Source): BytesValues {
  const { payloads, slices, places, length } = source;
  const { starts, ends } = slices;
  const valid = validOf(source, NOT_NULL);
  const offsets = new Uint32Array(length + 1);
  const data = roomFor(source, valid);
  let end = 0;
  for (let row = 0; row < length; row++) {
    if (valid?.[row] !== 0) {
      const place = places === undefined ? row : places[row]!;
      copyBytes(payloads[place]!, starts[place]!, ends[place]!, data, end);
      end += ends[place]! - starts[place]!;
    }
    offsets[row + 1] = end;
  }
  return { storage: 'bytes', valid, offsets, data };
}

/** Room for all values as they are in the payloads. */
function roomFor(
  { slices: { starts, ends }, places, length }: Source,
  valid: Uint8Array | undefined,
): Uint8Array {
  let bytes = 0;
  for (let row = 0; row < length; row++) {
    if (valid?.[row] === 0) continue;
    const place = places === undefined ? row : places[row]!;
    bytes += ends[place]! - starts[place]!;
  }
  return new Uint8Array(bytes);
}

function lists(source: Source, of: ColumnType): ListValues {
  const valid = validOf(source, ARRAY);
  const { payloads, starts } = rowsOf(source);
  const items = itemsOf(payloads, starts, valid);
  return {
    storage: 'list',
    valid,
    offsets: items.offsets,
    items: [jsonColumn(items.payloads, items.slices, of)],
  };
}

function structs(source: Source, fields: readonly StructField[]): StructValues {
  const valid = validOf(source, OBJECT);
  const { payloads, starts } = rowsOf(source);
  const members = membersOf(
    payloads,
    starts,
    valid,
    fields.map(({ name }) => name),
  );
  return {
    storage: 'struct',
    valid,
    length: source.length,
    fields: fields.map(({ type }, index) => jsonColumn(payloads, members[index], type)),
  };
}

/** The payload of each row, and the start of its value. */
function rowsOf({ payloads, slices: { starts }, places }: Source): {
  payloads: readonly Uint8Array[];
  starts: Uint32Array;
} {
  if (places === undefined) return { payloads, starts };
  const rows: Uint8Array[] = [];
  const from = new Uint32Array(places.length);
  for (let row = 0; row < places.length; row++) {
    rows.push(payloads[places[row]!]!);
    from[row] = starts[places[row]!]!;
  }
  return { payloads: rows, starts: from };
}
