import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pace } from '../../src/cli/pace.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

/** How many messages go out at each step of 10 ms, if there are always more. */
function steps(pace: Pace, count: number): number[] {
  return Array.from({ length: count }, () => {
    let sent = 0;
    while (pace.wait() === 0 && sent < 1000) {
      const due = pace.due(1000);
      pace.spend(due);
      sent += due;
    }
    vi.advanceTimersByTime(10);
    return sent;
  });
}

test('messages are spread evenly', () => {
  expect(steps(new Pace(50), 6)).toEqual([1, 0, 1, 0, 1, 0]);
  expect(steps(new Pace(300), 4)).toEqual([1, 3, 3, 3]);
});

test('a pace that was held up makes good a tenth of a second, and no more', () => {
  const pace = new Pace(50);
  steps(pace, 1);
  vi.advanceTimersByTime(10_000);
  expect(steps(pace, 3)).toEqual([6, 0, 1]);
});

test('without a rate everything is due', () => {
  const pace = new Pace(Infinity);
  expect([pace.wait(), pace.due(700)]).toEqual([0, 700]);
});
