import { expect, test } from 'vitest';
import { backoffDelay, defaultBackoff } from '../../src/component/backoff.ts';

const backoff = { initial: 100, max: 1_000, attempts: Infinity };

test('the cap doubles with each failure up to the longest pause', () => {
  const caps = [1, 2, 3, 4, 5, 6, 1_000, 1e9].map((failures) => backoffDelay(backoff, failures, () => 1));
  expect(caps).toEqual([100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]);
});

test('the jitter is full: from zero to the cap', () => {
  expect(backoffDelay(backoff, 3, () => 0)).toBe(0);
  expect(backoffDelay(backoff, 3, () => 0.5)).toBe(200);
  const delays = Array.from({ length: 1_000 }, () => backoffDelay(backoff, 1));
  expect(Math.min(...delays)).toBeLessThan(10);
  expect(Math.max(...delays)).toBeGreaterThan(90);
  expect(Math.max(...delays)).toBeLessThanOrEqual(100);
});

test('a longest pause below the first one wins', () => {
  expect(backoffDelay({ ...backoff, max: 50 }, 1, () => 1)).toBe(50);
});

test('the default tries for ever', () => {
  expect(defaultBackoff.attempts).toBe(Infinity);
  expect(backoffDelay(defaultBackoff, 1e6, () => 1)).toBe(30_000);
});
