import { expect, test } from 'vitest';
import { Waker, abortable } from '../../src/component/waker.ts';

const never = new AbortController().signal;

test('a wake while nobody waits is kept for the next wait, once', async () => {
  const waker = new Waker();
  waker.wake();
  waker.wake();
  await waker.wait();
  let woken = false;
  const waiting = waker.wait().then(() => (woken = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(woken).toBe(false);
  waker.wake();
  await waiting;
});

test('a wake ends every wait', async () => {
  const waker = new Waker();
  const all = Promise.all([waker.wait(), waker.wait(never), waker.until(() => true, never)]);
  waker.wake();
  expect(await all).toEqual([undefined, undefined, true]);
});

test('`until` asks at once and at each wake, and says whether it is done', async () => {
  const waker = new Waker();
  let count = 0;
  let over = false;
  const third = waker.until(() => count === 3, never);
  const tenth = waker.until(() => count === 10, never, { over: () => over });
  for (count = 1; count < 3; count++) waker.wake();
  waker.wake();
  expect(await third).toBe(true);
  over = true;
  waker.wake();
  expect(await tenth).toBe(false);
  expect(await waker.until(() => count === 3, never, { over: () => true })).toBe(true);
  expect(await waker.until(() => false, never, { over: () => true })).toBe(false);
});

test('a time-out ends a wait, and an abort ends it with its reason if it is awaited', async () => {
  const waker = new Waker();
  await waker.wait(undefined, 1);
  expect(await waker.until(() => false, never, { timeout: 1 })).toBe(false);
  const stop = new AbortController();
  const waiting = [waker.wait(stop.signal), waker.until(() => false, stop.signal)];
  stop.abort(new Error('enough'));
  expect(await Promise.allSettled(waiting)).toMatchObject([
    { status: 'fulfilled' },
    { status: 'rejected', reason: { message: 'enough' } },
  ]);
  await waker.wait(stop.signal);
  await expect(waker.until(() => true, stop.signal)).rejects.toThrow('enough');
});

test('a promise that is abortable settles as it does, or with the reason', async () => {
  expect(await abortable(Promise.resolve(1), never)).toBe(1);
  await expect(abortable(Promise.reject(new Error('no')), never)).rejects.toThrow('no');
  const aborted = AbortSignal.abort(new Error('enough'));
  await expect(abortable(new Promise(() => {}), aborted)).rejects.toThrow('enough');
});
