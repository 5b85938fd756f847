import { describe, expect, test, vi } from 'vitest';
import { MillraceError, type Rejection } from '../../src/errors.ts';
import { Batch, type Format } from '../../src/message/batch.ts';
import { joinDeliveries, type Delivery } from '../../src/message/delivery.ts';
import { createReceipt } from '../../src/message/receipt.ts';

const error = new MillraceError('MILLRACE_PROCESSOR_FAILED', 'no');
const origin = { source: '', ext: {} };

function delivery(texts: readonly string[]) {
  const events = { settled: vi.fn(), parked: vi.fn() };
  const runs = [{ start: 0, origin, time: 0 }];
  const payloads = texts.map((text) => Buffer.from(text));
  const batch = new Batch(payloads, { runs }).withPositions('own');
  return { batch, receipt: createReceipt(events), ...events };
}

const rejectedOf = ({ settled }: ReturnType<typeof delivery>): number[] =>
  (settled.mock.calls as [unknown, Rejection[]][]).flatMap(([, rejected]) =>
    rejected.map(({ index }) => index),
  );

describe('deliveries that were joined', () => {
  test('have all messages in order, and end as one', () => {
    const parts = [delivery(['a', 'b']), delivery([]), delivery(['c'])];
    const [joined] = joinDeliveries(parts) as [Delivery];
    expect(joined.batch.payloads.map((payload) => Buffer.from(payload).toString())).toEqual(['a', 'b', 'c']);
    const fork = joined.receipt.fork();
    joined.receipt.done();
    for (const { settled } of parts) expect(settled).not.toHaveBeenCalled();
    fork.done();
    for (const { settled } of parts) expect(settled.mock.calls).toEqual([[undefined, []]]);
  });

  test('fail as one', () => {
    const parts = [delivery(['a']), delivery(['b'])];
    joinDeliveries(parts)[0]!.receipt.failed(error);
    for (const { settled } of parts) expect(settled.mock.calls).toEqual([[error, []]]);
  });

  test('of messages in different formats are one for each format, and each part hears of its own', () => {
    const [json, text, more] = [delivery(['{}', '1']), delivery(['a']), delivery(['[]'])];
    const as = ({ batch, receipt }: Delivery, format: Format): Delivery => ({
      batch: batch.withFormat(format).withPositions('own'),
      receipt,
    });
    const joined = joinDeliveries([as(json, 'json'), as(text, 'text'), as(more, 'json')]);
    expect(
      joined.map(({ batch }) => [
        batch.format,
        batch.payloads.map((payload) => Buffer.from(payload).toString()),
      ]),
    ).toEqual([
      ['json', ['{}', '1', '[]']],
      ['text', ['a']],
    ]);
    joined[0]!.receipt.done([{ index: 2, error }]);
    expect(text.settled).not.toHaveBeenCalled();
    joined[1]!.receipt.done();
    expect([json, text, more].map(rejectedOf)).toEqual([[], [], [0]]);
    expect(joinDeliveries([])).toEqual([]);
  });

  test('are parked as one', () => {
    const parts = [delivery(['a']), delivery(['b'])];
    const { receipt } = joinDeliveries(parts)[0]!;
    receipt.park();
    for (const { parked, settled } of parts) {
      expect(parked).toHaveBeenCalledOnce();
      expect(settled).not.toHaveBeenCalled();
    }
    receipt.done();
    for (const { settled } of parts) expect(settled).toHaveBeenCalledOnce();
  });

  test('tell each part which of its messages were rejected, by position, whatever was left out and joined since', () => {
    const [one, two, three] = [
      delivery(['a0', 'a1', 'a2', 'a3']),
      delivery(['b0', 'b1', 'b2']),
      delivery(['c0']),
    ] as const;
    const pick = ({ batch, receipt }: Delivery, indices: readonly number[]): Delivery => ({
      batch: batch.select(indices),
      receipt,
    });
    const inner = joinDeliveries([pick(one, [1, 3]), pick(two, [0, 2])])[0]!;
    // a3, b0, b2, c0
    const outer = joinDeliveries([pick(inner, [1, 2, 3]), three])[0]!;
    const { batch, receipt } = outer;
    expect(batch.length).toBe(4);
    receipt.fork().done([{ index: 0, error }]);
    receipt.done([
      { index: 2, error },
      { index: 3, error },
    ]);
    expect([one, two, three].map(rejectedOf)).toEqual([[3], [2], [0]]);
  });

  test('blame nobody for a message that was made of several', () => {
    const one = delivery(['a', 'b']);
    const sum = new Batch([Buffer.from('ab')], { runs: [{ start: 0, origin, time: 0 }] });
    const two = delivery(['c']);
    joinDeliveries([{ batch: sum, receipt: one.receipt }, two])[0]!.receipt.done([{ index: 0, error }]);
    expect(rejectedOf(one)).toEqual([]);
    expect(one.settled).toHaveBeenCalledOnce();
  });

  test('blame nobody for a message that is not theirs', () => {
    const parts = [delivery(['a']), delivery([])];
    joinDeliveries(parts)[0]!.receipt.done([
      { index: 1, error },
      { index: -1, error },
    ]);
    expect(parts.map(rejectedOf)).toEqual([[], []]);
  });

  test('tell each at once, however many parts a window has and however many of them are rejected', () => {
    const told: number[] = [];
    const one = new Batch([Buffer.from('a')]).withPositions('own');
    const parts = Array.from({ length: 50_000 }, (_, part) => ({
      batch: one,
      receipt: createReceipt({
        settled: (_error, rejected) => void (rejected.length > 0 && told.push(part)),
      }),
    }));
    const { receipt } = joinDeliveries(parts)[0]!;
    const every = parts.map((_, index) => index);
    for (const index of every.slice(0, 20_000)) receipt.fork().done([{ index, error }]);
    receipt.done(every.slice(20_000).map((index) => ({ index, error })));
    expect(told).toEqual(every);
  });
});
