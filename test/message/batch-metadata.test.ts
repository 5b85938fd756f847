import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batch, concatBatches, type Run } from '../../src/message/batch.ts';
import { NO_OFFSET, type ExtValue } from '../../src/message/metadata.ts';

/** A message by itself, as no batch keeps it. */
interface Message {
  readonly payload: string;
  readonly sent: string;
  readonly sequence: number | undefined;
  readonly key: string | undefined;
  readonly partition: number | undefined;
  readonly offset: bigint | undefined;
  readonly eventTime: number | undefined;
  readonly room: ExtValue | undefined;
  readonly level: ExtValue | undefined;
}

const seen = (batch: Batch): Message[] =>
  batch.payloads.map((payload, index) => ({
    payload: Buffer.from(payload).toString(),
    sent: Buffer.from(batch.sent[index]!).toString(),
    sequence: batch.sequenceAt(index),
    key: batch.metaAt(index, 'key'),
    partition: batch.metaAt(index, 'partition'),
    offset: batch.metaAt(index, 'offset'),
    eventTime: batch.metaAt(index, 'event_time'),
    room: batch.extAt(index, 'room'),
    level: batch.extAt(index, 'level'),
  }));

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

const texts = fc.array(fc.string({ maxLength: 3 }), { maxLength: 3 });

const anyMessage = fc.record({
  payload: fc.stringMatching(/^[a-z]{1,3}$/),
  key: optional(fc.string({ maxLength: 3 })),
  partition: optional(fc.nat(9)),
  offset: optional(fc.bigInt({ min: NO_OFFSET + 1n, max: 2n ** 63n - 1n })),
  eventTime: optional(fc.integer()),
  room: optional(fc.oneof(fc.string({ maxLength: 3 }), fc.integer(), texts)),
  level: optional(fc.double({ noNaN: true, noDefaultInfinity: true })),
});

/** Some batches have a column of a name, and some have none: these are joined. */
const anyBatch = fc
  .record({
    messages: fc.array(anyMessage, { minLength: 1, maxLength: 6 }),
    first: fc.nat(100),
    numbered: fc.boolean(),
    columns: fc.subarray(['key', 'partition', 'offset', 'event_time', 'room', 'level'] as const),
  })
  .map(({ messages, first, numbered, columns }) => {
    const has = new Set<string>(columns);
    const sequence = numbered ? first : undefined;
    const runs: Run[] = [{ start: 0, origin: { source: 's', ext: {} }, time: 1, sequence }];
    const payloads = messages.map(({ payload }) => Buffer.from(payload));
    let batch = new Batch(payloads, { runs, positions: 'own' });
    const numbers = (of: (message: (typeof messages)[number]) => number | undefined): Float64Array =>
      Float64Array.from(messages, (message) => of(message) ?? Number.NaN);
    if (has.has('key'))
      batch = batch.withMeta(
        'key',
        messages.map(({ key }) => key),
      );
    if (has.has('partition'))
      batch = batch.withMeta(
        'partition',
        numbers(({ partition }) => partition),
      );
    if (has.has('offset'))
      batch = batch.withMeta(
        'offset',
        BigInt64Array.from(messages, ({ offset }) => offset ?? NO_OFFSET),
      );
    if (has.has('event_time'))
      batch = batch.withMeta(
        'event_time',
        numbers(({ eventTime }) => eventTime),
      );
    if (has.has('room'))
      batch = batch.withMeta(
        'ext.room',
        messages.map(({ room }) => room),
      );
    if (has.has('level'))
      batch = batch.withMeta(
        'ext.level',
        numbers(({ level }) => level),
      );
    const expected = messages.map(
      ({ payload, key, partition, offset, eventTime, room, level }, index): Message => ({
        payload,
        sent: payload,
        sequence: numbered ? first + index : undefined,
        key: has.has('key') ? key : undefined,
        partition: has.has('partition') ? partition : undefined,
        offset: has.has('offset') ? offset : undefined,
        eventTime: has.has('event_time') ? eventTime : undefined,
        room: has.has('room') ? room : undefined,
        level: has.has('level') ? level : undefined,
      }),
    );
    return { batch, expected };
  });

/** One batch after another step, and what its messages must be: message by message, without a batch. */
type Step = (batch: Batch, expected: readonly Message[]) => [Batch, Message[]];

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.func(fc.boolean()).map((keep): Step => (batch, expected) => {
    const indices = [...expected.keys()].filter((index) => keep(index));
    return [batch.select(indices), indices.map((index) => expected[index]!)];
  }),
  fc.func(fc.nat(3)).map((countOf): Step => (batch, expected) => {
    const counts = [...expected.keys()].map((index) => countOf(index));
    const several = expected.flatMap((message, index) =>
      Array.from({ length: counts[index]! }, (_, part) => ({
        ...message,
        payload: `${message.payload}${part}`,
      })),
    );
    const payloads = several.map(({ payload }) => Buffer.from(payload));
    return [batch.expand(counts).withPayloads(payloads, 'text'), several];
  }),
  fc.constant<Step>((batch, expected) => [
    batch.derive(
      [...expected.keys()].toReversed(),
      expected.toReversed().map(({ payload }) => Buffer.from(payload)),
      'json',
    ),
    expected.toReversed(),
  ]),
  fc.constant<Step>((batch, expected) => [concatBatches([batch, batch]), [...expected, ...expected]]),
);

test('metadata by message follows its message: filtered, split, sorted, joined, again and again', () => {
  fc.assert(
    fc.property(
      fc.array(anyBatch, { minLength: 1, maxLength: 3 }),
      fc.array(anyStep, { maxLength: 4 }),
      (parts, steps) => {
        let batch = concatBatches(parts.map((part) => part.batch));
        let expected = parts.flatMap((part) => part.expected);
        for (const step of steps) [batch, expected] = step(batch, expected);
        expect(seen(batch)).toEqual(expected);
        expect(batch.length).toBe(expected.length);
      },
    ),
  );
});

const letters = (text: string): Batch =>
  new Batch(
    Array.from(text, (letter) => Buffer.from(letter)),
    { runs: [{ start: 0, origin: { source: '', ext: {} }, time: 1, sequence: 10 }], positions: 'own' },
  );

const positions = (batch: Batch): (number | undefined)[] =>
  batch.payloads.map((_, index) => batch.positionAt(index));

test('a message keeps its position in the delivery, whatever is made of it', () => {
  const delivery = letters('abcdef');
  expect(positions(delivery)).toEqual([0, 1, 2, 3, 4, 5]);
  const some = delivery.without([0, 3]);
  expect(positions(some)).toEqual([1, 2, 4, 5]);
  expect(positions(some.expand([2, 0, 1, 2]))).toEqual([1, 1, 4, 5, 5]);
  expect(positions(some.expand([2, 0, 1, 2]).select([1, 4]))).toEqual([1, 5]);
  const rows = some.derive([3, 0], [Buffer.from('f'), Buffer.from('b')], 'json', delivery.runs);
  expect(positions(rows)).toEqual([5, 1]);
  expect(positions(some.withPositions('own'))).toEqual([0, 1, 2, 3]);
  expect(positions(concatBatches([some, some]))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test('a message of unknown origin has no position', () => {
  const made = new Batch([Buffer.from('sum')]);
  expect(positions(made)).toEqual([undefined]);
  expect(positions(made.select([0]))).toEqual([undefined]);
  expect(positions(made.withPositions('own'))).toEqual([0]);
});

test('a split batch has one run for each run of the original, numbered or not', () => {
  const many = letters('abcdef').expand([3, 1, 0, 2, 2, 1]);
  expect(many.runs).toHaveLength(1);
  expect(Array.from({ length: 9 }, (_, index) => many.sequenceAt(index))).toEqual([
    10, 10, 10, 11, 13, 13, 14, 14, 15,
  ]);
});

test('a column must have a value for each message', () => {
  expect(() => letters('abc').withMeta('key', ['a', 'b'])).toThrow(RangeError);
  expect(() => letters('abc').expand([1, 2])).toThrow(RangeError);
  const keyed = letters('abc').withMeta('key', ['a', 'b', 'c']);
  expect(keyed.withMeta('key', undefined).metaAt(0, 'key')).toBeUndefined();
  expect(keyed.metaAt(0, 'key')).toBe('a');
});

test('a budget counts what columns hold', () => {
  const batch = letters('abc');
  const keyed = batch.withMeta('key', ['x'.repeat(1000), undefined, '']);
  expect(keyed.held).toBeGreaterThanOrEqual(batch.held + 1000);
  expect(batch.withMeta('offset', new BigInt64Array(3)).held).toBe(batch.held + 24);
});
