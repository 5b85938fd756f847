import { expect, test } from 'vitest';
import { Budget } from '../../src/component/budget.ts';

const limits = { messages: 10, bytes: 1_000 };
const never = new AbortController().signal;

function watched(budget: Budget) {
  const calls: string[] = [];
  const off = budget.onChange({ full: () => calls.push('full'), room: () => calls.push('room') });
  return { calls, off };
}

test('is full at the limit of messages, and has room again at half of it', () => {
  const budget = new Budget(limits);
  const { calls } = watched(budget);
  budget.add(9, 0);
  expect(budget.full).toBe(false);
  budget.add(1, 0);
  expect(budget.full).toBe(true);
  budget.release(4, 0);
  expect(budget.full).toBe(true);
  expect(calls).toEqual(['full']);
  budget.release(1, 0);
  expect(budget.full).toBe(false);
  expect(calls).toEqual(['full', 'room']);
});

test('bytes count as well, and both must be down to half', () => {
  const budget = new Budget(limits);
  const { calls } = watched(budget);
  budget.add(6, 1_000);
  budget.release(1, 500);
  expect(calls).toEqual(['full', 'room']);
  budget.add(5, 500);
  budget.release(0, 900);
  expect([budget.messages, budget.bytes, budget.full]).toEqual([10, 100, true]);
  budget.release(5, 100);
  expect([budget.messages, budget.bytes, budget.full]).toEqual([5, 0, false]);
});

test('a message larger than the whole budget passes, alone', () => {
  const budget = new Budget(limits);
  budget.add(1, 5_000);
  expect(budget.full).toBe(true);
  budget.release(1, 5_000);
  expect(budget.full).toBe(false);
});

test('each change is told once, and not after the watcher is off', () => {
  const budget = new Budget(limits);
  const { calls, off } = watched(budget);
  budget.add(10, 0);
  budget.add(10, 0);
  budget.release(15, 0);
  budget.release(5, 0);
  expect(calls).toEqual(['full', 'room']);
  off();
  budget.add(10, 0);
  expect(calls).toEqual(['full', 'room']);
});

test('a sender that fills it at once when there is room leaves the others closed', () => {
  const budget = new Budget(limits);
  budget.onChange({ full: () => {}, room: () => budget.add(10, 0) });
  const { calls } = watched(budget);
  budget.add(10, 0);
  budget.release(10, 0);
  expect(budget.full).toBe(true);
  expect(calls.at(-1)).toBe('full');
});

test('`room` waits for the low mark, for everybody who waits', async () => {
  const budget = new Budget(limits);
  await budget.room(never);
  budget.add(10, 0);
  const order: string[] = [];
  const waiting = ['a', 'b'].map(async (name) => {
    await budget.room(never);
    order.push(name);
  });
  budget.release(4, 0);
  await Promise.resolve();
  expect(order).toEqual([]);
  budget.release(1, 0);
  await Promise.all(waiting);
  expect(order).toEqual(['a', 'b']);
});

test('`room` looks again: a faster sender may have filled it', async () => {
  const budget = new Budget(limits);
  budget.add(10, 0);
  let through = false;
  const waiting = budget.room(never).then(() => (through = true));
  budget.release(10, 0);
  budget.add(10, 0);
  await new Promise((resolve) => setImmediate(resolve));
  expect(through).toBe(false);
  budget.release(10, 0);
  await waiting;
});

test('`room` throws the reason when the signal aborts, before or while waiting', async () => {
  const budget = new Budget(limits);
  const aborter = new AbortController();
  budget.add(10, 0);
  const waiting = budget.room(aborter.signal);
  aborter.abort(new Error('shutdown'));
  await expect(waiting).rejects.toThrow('shutdown');
  await expect(budget.room(aborter.signal)).rejects.toThrow('shutdown');
  budget.release(10, 0);
  await expect(budget.room(aborter.signal)).rejects.toThrow('shutdown');
});
