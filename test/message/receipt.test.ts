import * as fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { MillraceError, type Rejection } from '../../src/errors.ts';
import { createReceipt, noReceipt, relayReceipt, type Receipt } from '../../src/message/receipt.ts';

const rejection = (index: number): Rejection => ({
  index,
  error: new MillraceError('MILLRACE_PROCESSOR_FAILED', `no ${index}`),
});

describe('createReceipt', () => {
  test('is settled once, at the first call', () => {
    const settled = vi.fn();
    const receipt = createReceipt({ settled });
    receipt.done();
    receipt.failed(new Error('late'));
    receipt.done([rejection(1)]);
    expect(settled.mock.calls).toEqual([[undefined, []]]);
  });

  test('hands on the error', () => {
    const settled = vi.fn();
    const error = new Error('refused');
    const receipt = createReceipt({ settled });
    receipt.failed(error);
    receipt.done();
    expect(settled.mock.calls).toEqual([[error, []]]);
  });

  test('a failure without an error is still a failure', () => {
    const settled = vi.fn();
    createReceipt({ settled }).failed(undefined);
    relayReceipt(createReceipt({ settled }), () => {}).failed(undefined);
    expect(settled.mock.calls.map(([error]: unknown[]) => error instanceof Error)).toEqual([true, true]);
  });

  test('is settled no second time for a fork that is made afterwards', () => {
    const settled = vi.fn();
    const receipt = createReceipt({ settled });
    receipt.done();
    receipt.fork().failed(new Error('late'));
    expect(settled.mock.calls).toEqual([[undefined, []]]);
  });

  /** Forks of forks, each with how and when it ends, and whether and when it is parked before. */
  const plans = fc.array(
    fc.record({
      of: fc.nat(),
      end: fc.constantFrom('done', 'rejected', 'failed'),
      at: fc.nat(1000),
      parkedAt: fc.option(fc.nat(1000), { nil: undefined }),
    }),
    { minLength: 1, maxLength: 8 },
  );

  test('waits for every fork, in whatever order they end, and has the first error and all that was rejected', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const settled = vi.fn();
        const parked = vi.fn();
        const rejected = vi.fn();
        const forks: Receipt[] = [createReceipt({ settled, rejected, parked })];
        for (const { of } of plan.slice(1)) forks.push(forks[of % forks.length]!.fork());
        const steps = plan
          .flatMap(({ at, parkedAt }, index) => [
            ...(parkedAt === undefined ? [] : [{ at: parkedAt, index, parks: true }]),
            { at, index, parks: false },
          ])
          .toSorted((a, b) => a.at - b.at);
        const states = plan.map(() => 'active');
        const expected: Rejection[] = [];
        let error: unknown;
        let wasParked = false;
        for (const { index, parks } of steps) {
          if (parks) {
            forks[index]!.park();
            if (states[index] === 'active') states[index] = 'parked';
          } else {
            states[index] = 'ended';
            const { end } = plan[index]!;
            for (let twice = 0; twice < 2; twice++) {
              if (end === 'failed') forks[index]!.failed(index);
              else forks[index]!.done(end === 'rejected' ? [rejection(index)] : undefined);
            }
            if (end === 'failed') error ??= index;
            if (end === 'rejected') expected.push(rejection(index));
          }
          const isOpen = states.some((state) => state !== 'ended');
          // It hears at once of rejections, and of the moment when every open fork is parked.
          wasParked ||= isOpen && !states.includes('active');
          expect(parked).toHaveBeenCalledTimes(wasParked ? 1 : 0);
          expect(rejected.mock.calls.flat(2)).toEqual(expected);
          expect(settled).toHaveBeenCalledTimes(isOpen ? 0 : 1);
        }
        expect(settled.mock.calls).toEqual([[error, expected]]);
      }),
    );
  });
});

describe('relayReceipt', () => {
  test('reports its end before its own receipt does, and passes on rejections at once', () => {
    const told: string[] = [];
    const receipt = createReceipt({
      settled: (error, rejected) => told.push(`settled ${String(error)} ${rejected.length}`),
      rejected: ([first]) => told.push(`rejected ${first!.index}`),
      parked: () => told.push('parked'),
    });
    const relay = relayReceipt(
      receipt,
      (error, rejected) => told.push(`first ${String(error)} ${rejected.length}`),
      () => told.push('first parked'),
    );
    relay.fork().done([rejection(3)]);
    expect(told).toEqual(['rejected 3']);
    relay.park();
    relay.done([rejection(4)]);
    expect(told.slice(1)).toEqual([
      'first parked',
      'parked',
      'rejected 4',
      'first undefined 2',
      'settled undefined 2',
    ]);
  });
});

test('noReceipt does nothing', () => {
  noReceipt.done();
  noReceipt.park();
  noReceipt.fork().failed(new Error('nobody cares'));
});
