import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Contiguous } from '../../src/delivery/contiguous.ts';

const all = Array.from({ length: 64 }, (_, number) => number);

test('numbers and ranges that are done in any order, once or twice, are as a set has them', () => {
  const ranges = fc.tuple(fc.nat(60), fc.oneof(fc.constant(0), fc.nat(20)));
  fc.assert(
    fc.property(fc.array(ranges, { maxLength: 60 }), (steps) => {
      const done = new Contiguous(5);
      const known = new Set([0, 1, 2, 3, 4]);
      for (const [from, more] of steps) {
        const numbers = all.filter((each) => each >= from && each <= from + more);
        const to = numbers.at(-1)!;
        const added = numbers.filter((each) => !known.has(each));
        expect(done.add(from, to)).toBe(added.length);
        for (const number of added) known.add(number);
        expect(all.filter((each) => done.has(each))).toEqual(all.filter((each) => known.has(each)));
        expect(done.first).toBe(all.find((each) => !known.has(each)) ?? all.length);
        expect(done.open(63)).toBe(64 - known.size);
        const isStart = (each: number): boolean => known.has(each) && !known.has(each - 1);
        expect(done.ranges).toBe(all.filter((each) => each > done.first && isStart(each)).length);
      }
    }),
  );
});

test('its value is that of the last number before the first gap that has one', () => {
  const part = fc.record({ size: fc.integer({ min: 1, max: 4 }), valued: fc.boolean(), turn: fc.nat() });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
      const done = new Contiguous<number>(1);
      const values = new Map<number, number>();
      const known = new Set<number>();
      let next = 1;
      const ranges = parts.map(({ size, valued, turn }) => {
        const range = { from: next, to: next + size - 1, valued, turn };
        next += size;
        return range;
      });
      for (const { from, to, valued } of ranges.toSorted((a, b) => a.turn - b.turn)) {
        done.add(from, to, valued ? to : undefined);
        if (valued) values.set(to, to);
        for (let number = from; number <= to; number++) known.add(number);
        let expected: number | undefined;
        for (let number = 1; known.has(number); number++) expected = values.get(number) ?? expected;
        expect(done.value).toBe(expected);
      }
    }),
  );
});

test('neighbors take no room while the first waits, however many there are', () => {
  const done = new Contiguous(1);
  const last = 2 ** 24 + 100;
  for (let number = 2; number <= last; number++) done.add(number);
  expect([done.ranges, done.open(last)]).toEqual([1, 1]);
  done.add(1);
  expect([done.ranges, done.first]).toEqual([0, last + 1]);
});

test('if there are too many ranges, the lowest are forgotten', () => {
  const done = new Contiguous(0, 1_000);
  for (let number = 1; number <= 100_000; number++) done.add(number);
  expect(done.ranges).toBe(1);
  for (let n = 1; n <= 5_000; n++) done.add(200_000 + n * 2);
  expect(done.ranges).toBe(1_000);
  expect([5, 200_002, 210_000, 210_001].map((number) => done.has(number))).toEqual([
    false,
    false,
    true,
    false,
  ]);
  expect(done.open(210_000)).toBe(210_001 - 1_000);
  done.add(0);
  expect(done.first).toBe(1);
});
