import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import { Dedupe } from '../../src/delivery/dedupe.ts';
import { MillraceError, type Rejection } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import { joinDeliveries, type Delivery } from '../../src/message/delivery.ts';
import { parseJsonPath } from '../../src/message/json-path.ts';
import { createReceipt, type Receipt } from '../../src/message/receipt.ts';
import { until } from '../support/until.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const origin = { source: '', ext: { session_id: 's' } };
const error = new MillraceError('MILLRACE_PROCESSOR_FAILED', 'no');

interface Sent extends Delivery {
  readonly settled: ReturnType<typeof vi.fn>;
  readonly parked: ReturnType<typeof vi.fn>;
}

function sent(texts: readonly string[], refs: WeakRef<Uint8Array>[]): Sent {
  const payloads = texts.map((text) => Buffer.from(text));
  refs.push(...payloads.map((payload) => new WeakRef<Uint8Array>(payload)));
  const runs = [{ start: 0, origin, time: 0, sequence: 1 }];
  const [settled, parked] = [vi.fn(), vi.fn()];
  const receipt = createReceipt({ settled, parked });
  return { batch: new Batch(payloads, { runs }).withPositions('own'), receipt, settled, parked };
}

async function areCollected(refs: readonly WeakRef<Uint8Array>[]): Promise<void> {
  await until('the messages to be collected', () => {
    collectGarbage();
    return refs.every((ref) => ref.deref() === undefined);
  });
}

const rejectedOf = ({ settled }: Pick<Sent, 'settled'>): number[] =>
  (settled.mock.calls as [unknown, Rejection[]][]).flatMap(([, rejected]) =>
    rejected.map(({ index }) => index),
  );

const dedupeOf = (maxKeys: number): Dedupe =>
  new Dedupe({
    path: parseJsonPath('id')!,
    per: 'all',
    window: 60_000,
    maxKeys,
    space: 'a',
    formerSpace: 'b',
    durability: undefined,
    dropped: () => {},
  });

test('the receipt of deliveries that were joined does not keep their messages', async () => {
  const refs: WeakRef<Uint8Array>[] = [];
  const join = (): { receipt: Receipt; ends: Pick<Sent, 'settled'>[] } => {
    const parts = [sent(['a', 'b'], refs), sent(['c'], refs)];
    return { receipt: joinDeliveries(parts)[0]!.receipt, ends: parts.map(({ settled }) => ({ settled })) };
  };
  const { receipt, ends } = join();
  receipt.park();
  await areCollected(refs);
  receipt.done([
    { index: 1, error },
    { index: 2, error },
  ]);
  expect(ends.map(rejectedOf)).toEqual([[1], [0]]);
});

test('dedupe does not keep messages that are parked, nor their copies, and tells all of them that they are rejected', async () => {
  const refs: WeakRef<Uint8Array>[] = [];
  const dedupe = dedupeOf(100);
  const read = (
    ...ids: number[]
  ): { receipt: Receipt | undefined; end: Pick<Sent, 'settled' | 'parked'> } => {
    const texts = ids.map((id) => JSON.stringify({ id }));
    const { batch, receipt, settled, parked } = sent(texts, refs);
    return { receipt: dedupe.filter({ batch, receipt })?.receipt, end: { settled, parked } };
  };
  const first = read(1, 2, 3);
  const early = read(2);
  first.receipt!.park();
  const late = read(3, 2);
  for (const { end } of [first, early, late]) expect(end.parked).toHaveBeenCalledOnce();
  await areCollected(refs);
  for (const { end } of [first, early, late]) expect(end.settled).not.toHaveBeenCalled();
  first.receipt!.done([{ index: 1, error }]);
  expect([first, early, late].map(({ end }) => rejectedOf(end))).toEqual([[1], [0], [1]]);
});

test('a sender that repeats a parked message has to wait once as many copies are parked as keys are remembered', () => {
  const dedupe = dedupeOf(3);
  const first = sent(['{"id":1}'], []);
  const { receipt } = dedupe.filter(first)!;
  receipt.park();
  const copies = Array.from({ length: 5 }, () => sent(['{"id":1}'], []));
  for (const copy of copies) expect(dedupe.filter(copy)).toBeUndefined();
  expect(copies.map(({ parked }) => parked.mock.calls.length)).toEqual([1, 1, 1, 0, 0]);
  receipt.done();
  for (const { settled } of copies) expect(settled).toHaveBeenCalledOnce();
  const again = sent(['{"id":1}'], []);
  dedupe.filter(again);
  expect(again.settled).toHaveBeenCalledOnce();
});
