import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { valueReader } from '../../src/message/row-values.ts';
import {
  FIXED_BYTES,
  bytesOfRows,
  concatRows,
  innerTypes,
  selectRows,
  storageOf,
  type ColumnType,
  type FixedKind,
  type Rows,
  type Values,
} from '../../src/message/rows.ts';
import { decodeRows, encodeRows } from '../../src/message/rows-wire.ts';

const kinds = Object.keys(FIXED_BYTES) as FixedKind[];
const { type: anyType } = fc.letrec<{ type: ColumnType }>((tie) => ({
  type: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(...kinds, 'varchar', 'json', 'blob').map((kind) => ({ kind })),
    fc
      .tuple(fc.integer({ min: 1, max: 38 }), fc.nat(38))
      .map(([width, scale]) => ({ kind: 'decimal' as const, width, scale: Math.min(width, scale) })),
    fc.constantFrom(2, 300).map((count) => ({
      kind: 'enum' as const,
      values: Array.from({ length: count }, (_, index) => `é${index}`),
    })),
    tie('type').map((of) => ({ kind: 'list' as const, of })),
    fc.tuple(tie('type'), fc.integer({ min: 1, max: 3 })).map(([of, length]) => ({
      kind: 'array' as const,
      of,
      length,
    })),
    fc
      .uniqueArray(fc.tuple(fc.constantFrom('a', '__proto__', '', 'é"'), tie('type')), {
        maxLength: 3,
        selector: ([name]) => name,
      })
      .map((fields) => ({ kind: 'struct' as const, fields: fields.map(([name, type]) => ({ name, type })) })),
    fc.tuple(tie('type'), tie('type')).map(([key, value]) => ({ kind: 'map' as const, key, value })),
  ),
}));

/** Values of the type, made of numbers that `next` gives. */
function valuesFor(type: ColumnType, length: number, next: (max: number) => number): Values {
  const valid = next(2) === 0 ? undefined : Uint8Array.from({ length }, () => next(2));
  const { storage, width } = storageOf(type);
  const inner = (count: number): Values[] => innerTypes(type).map((each) => valuesFor(each, count, next));
  const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => next(256));
  if (storage === 'fixed')
    return {
      storage,
      valid,
      width,
      data: type.kind === 'enum' ? new Uint8Array(length * width) : bytes(length * width),
    };
  if (storage === 'struct') return { storage, valid, length, fields: inner(length) };
  const offsets = new Uint32Array(length + 1);
  for (let at = 0; at < length; at++)
    offsets[at + 1] = offsets[at]! + (type.kind === 'array' ? type.length : next(4));
  if (storage === 'bytes') return { storage, valid, offsets, data: bytes(offsets[length]!) };
  return { storage, valid, offsets, items: inner(offsets[length]!) };
}

const anyRows = fc
  .record({ types: fc.array(anyType, { maxLength: 4 }), length: fc.nat(5), seed: fc.nat() })
  .map(({ types, length, seed }): Rows => {
    let state = seed;
    const next = (max: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state >>> 8) % max;
    };
    return {
      length,
      columns: types.map((type, index) => ({
        name: `c${index}`,
        type,
        values: valuesFor(type, length, next),
      })),
    };
  });

function valuesOf(rows: Rows): unknown[][] {
  return rows.columns.map((column) =>
    Array.from({ length: rows.length }, (_, row) => valueReader(column)(row)),
  );
}

describe('rows', () => {
  test('of every type are the same after they were written and read', () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        expect(decodeRows(encodeRows(rows))).toEqual(rows);
      }),
    );
  });

  test('are plain data, that a worker gets whole', () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        const clone = structuredClone(rows);
        expect(clone).toEqual(rows);
        expect(bytesOfRows(clone)).toBe(bytesOfRows(rows));
      }),
    );
  });

  test('keep their values when they are selected and joined', () => {
    fc.assert(
      fc.property(anyRows, fc.array(fc.nat(4), { maxLength: 8 }), (rows, places) => {
        const indices = rows.length === 0 ? [] : places.map((place) => place % rows.length);
        const selected = selectRows(rows, indices);
        const all = valuesOf(rows);
        expect(valuesOf(selected)).toEqual(all.map((column) => indices.map((index) => column[index])));
        const joined = concatRows([rows, selected])!;
        expect(joined.length).toBe(rows.length + selected.length);
        expect(valuesOf(joined)).toEqual(all.map((column, at) => [...column, ...valuesOf(selected)[at]!]));
      }),
    );
  });

  test('of other columns are not joined', () => {
    const of = (name: string, kind: FixedKind): Rows => ({
      length: 0,
      columns: [{ name, type: { kind }, values: valuesFor({ kind }, 0, () => 0) }],
    });
    expect(concatRows([of('a', 'date'), of('a', 'date')])).toBeDefined();
    expect(concatRows([of('a', 'date'), of('b', 'date')])).toBeUndefined();
    expect(concatRows([of('a', 'date'), of('a', 'integer')])).toBeUndefined();
  });

  test('with a type that this version does not know are refused, and so are those that are cut', () => {
    const rows: Rows = {
      length: 1,
      columns: [{ name: 'a', type: { kind: 'tinyint' }, values: valuesFor({ kind: 'tinyint' }, 1, () => 1) }],
    };
    const bytes = encodeRows(rows);
    const tag = 4 + 4 + 4 + 1;
    for (const unknown of [0, 0x7f, 0xff]) {
      const other = Buffer.from(bytes);
      other[tag] = unknown;
      expect(() => decodeRows(other)).toThrow(
        `the tag ${unknown}, which this version of Millrace does not know`,
      );
    }
    for (let end = 0; end < bytes.length; end++) expect(() => decodeRows(bytes.subarray(0, end))).toThrow();
    expect(() => decodeRows(Buffer.concat([bytes, bytes]))).toThrow();
  });
});
