import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batch, type Run } from '../../src/message/batch.ts';
import { metaText, NO_OFFSET, type ExtValue } from '../../src/message/metadata.ts';
import { valueReader, type RowValue } from '../../src/message/row-values.ts';
import type { Rows } from '../../src/message/rows.ts';
import { withLifted } from '../../src/sql/lifted.ts';
import { metadataFields, metadataValues } from '../../src/sql/metadata-values.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const entry: fc.Arbitrary<ExtValue> = fc.oneof(text, fc.integer(), fc.array(text, { maxLength: 2 }));
const ext = fc.dictionary(fc.constantFrom('session_id', 'é', '__proto__', 'sequence', 'x'), entry);
const micros = fc.integer({ min: -1e12, max: 2e15 });
const run = fc.record({
  origin: fc.record({ source: text, ext }),
  time: micros,
  sequence: fc.option(fc.nat(1e9), { nil: undefined }),
  messageType: fc.constantFrom('text' as const, 'binary' as const, undefined),
});
const message = fc.record({
  key: fc.option(text, { nil: undefined }),
  partition: fc.option(fc.nat(), { nil: Number.NaN }),
  offset: fc.option(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), { nil: NO_OFFSET }),
  time: fc.option(micros, { nil: Number.NaN }),
  trace: fc.option(entry, { nil: undefined }),
});
/** Messages of several runs, some of them with metadata of their own. */
const batches = fc
  .tuple(
    fc.array(run, { minLength: 1, maxLength: 3 }),
    fc.array(message, { minLength: 3, maxLength: 12 }),
    fc.nat(3),
  )
  .map(([runs, own, kind]) => {
    const starts: Run[] = runs.map((each, index) => ({ ...each, start: index }));
    const batch = new Batch(
      own.map(() => Buffer.from('{}')),
      { runs: starts, format: 'json' },
    );
    if (kind === 0) return batch;
    const keyed = batch
      .withMeta(
        'key',
        own.map(({ key }) => key),
      )
      .withMeta(
        'partition',
        Float64Array.from(own, ({ partition }) => partition),
      )
      .withMeta(
        'offset',
        BigInt64Array.from(own, ({ offset }) => offset),
      )
      .withMeta(
        'event_time',
        Float64Array.from(own, ({ time }) => time),
      );
    return kind === 1
      ? keyed
      : keyed.withMeta(
          'ext.trace',
          own.map(({ trace }) => trace),
        );
  });

const columnsOf = (batch: Batch): Rows => ({
  length: batch.length,
  columns: metadataFields.map((field) => ({ ...field, values: metadataValues(batch, field.name) })),
});
const indicesOf = (batch: Batch): number[] => Array.from({ length: batch.length }, (_, index) => index);

test('each metadata column has what the metadata of its message says', () => {
  fc.assert(
    fc.property(batches, (batch) => {
      const read = new Map(columnsOf(batch).columns.map((column) => [column.name, valueReader(column)]));
      const valueOf = (name: string, index: number): RowValue => read.get(name)!(index);
      const iso = (time: number | undefined): string | null =>
        time === undefined ? null : new Date(Math.floor(time / 1000)).toISOString().slice(0, 19);
      for (const index of indicesOf(batch)) {
        const metadata = batch.metadata(index);
        expect(valueOf('__meta_source', index)).toBe(metadata.source);
        expect((valueOf('__meta_ingest_time', index) as string).slice(0, 19)).toBe(iso(metadata.ingestTime));
        expect(valueOf('__meta_key', index)).toBe(metadata.key ?? null);
        expect(valueOf('__meta_partition', index)).toBe(
          metadata.partition === undefined ? null : BigInt(metadata.partition),
        );
        expect(valueOf('__meta_offset', index)).toBe(metadata.offset ?? null);
        const time = valueOf('__meta_event_time', index) as string | null;
        expect(time?.slice(0, 19) ?? null).toBe(iso(metadata.eventTime));
        expect(valueOf('__meta_ext', index)).toEqual(
          new Map(Object.entries(metadata.ext).map(([name, value]) => [name, metaText(value)])),
        );
      }
    }),
  );
});

test('metadata that a query takes and gives back is the same, with and without the number of its message', () => {
  fc.assert(
    fc.property(batches, fc.array(fc.nat(11), { minLength: 1 }), (batch, picked) => {
      const numbers = picked.map((place) => place % batch.length);
      const selected = batch.select(numbers);
      const made = new Batch(selected.payloads, { format: 'json' });
      const expected = indicesOf(selected).map((index) => selected.metadata(index));
      const lifted = withLifted(made, columnsOf(selected), batch, numbers);
      expect(indicesOf(lifted).map((index) => lifted.metadata(index))).toEqual(expected);
      const apart = withLifted(made, columnsOf(selected), batch, undefined);
      const texts = (metadata: (typeof expected)[number]): unknown => ({
        ...metadata,
        ext: Object.fromEntries(Object.entries(metadata.ext).map(([name, value]) => [name, metaText(value)])),
      });
      expect(indicesOf(apart).map((index) => texts(apart.metadata(index)))).toEqual(expected.map(texts));
    }),
  );
});

test('neighbours stay one run, with the numbers of their session', () => {
  const batch = new Batch(
    Array.from({ length: 100 }, () => Buffer.from('{}')),
    { runs: [{ start: 0, origin: { source: 's', ext: { a: 'b' } }, time: 5, sequence: 7 }], format: 'json' },
  );
  const lifted = withLifted(
    new Batch(batch.payloads, { format: 'json' }),
    columnsOf(batch),
    batch,
    indicesOf(batch),
  );
  expect(lifted.runs).toEqual(batch.runs.map((each) => ({ ...each, messageType: undefined })));
});
