import { describe, expect, test } from 'vitest';
import { Gate } from '../../src/sql/gate.ts';
import { poolSize, sizeThreadPool, sqlThreads } from '../../src/sql/threads.ts';

const never = (): AbortSignal => new AbortController().signal;

/** Asks for a place, and notes in `order` when it is had. */
function ask(gate: Gate, holder: object, order: string[], name: string): Promise<void> {
  return Promise.resolve(gate.enter(holder, never)).then(() => void order.push(name));
}

describe('the threads of SQL', () => {
  test.each([
    [1, 1],
    [2, 1],
    [3, 1],
    [4, 2],
    [8, 4],
    [16, 12],
    [1024, 1020],
  ])('of a pool of %d it may hold %d', (pool, threads) => {
    expect(sqlThreads(pool)).toBe(threads);
  });

  test('the pool is sized unless the user has', () => {
    const env: Record<string, string> = {};
    sizeThreadPool(env);
    expect(sqlThreads(poolSize(env))).toBeGreaterThanOrEqual(4);
    const own = { UV_THREADPOOL_SIZE: '6' };
    sizeThreadPool(own);
    expect(poolSize(own)).toBe(6);
    expect(poolSize({})).toBe(4);
    expect(poolSize({ UV_THREADPOOL_SIZE: 'many' })).toBe(1);
  });
});

describe('a gate', () => {
  test('keeps the last place for those who have none', async () => {
    const gate = new Gate(3);
    const [greedy, other] = [{}, {}];
    expect(gate.enter(greedy, never)).toBeUndefined();
    expect(gate.enter(greedy, never)).toBeUndefined();
    const order: string[] = [];
    const waiting = ask(gate, greedy, order, 'greedy');
    expect(gate.enter(other, never)).toBeUndefined();
    gate.leave(other);
    expect(order).toEqual([]);
    gate.leave(greedy);
    await waiting;
    expect(order).toEqual(['greedy']);
  });

  test('lets in next who has the fewest inside, and of those who has waited longest', async () => {
    const gate = new Gate(2);
    const [one, two, three] = [{}, {}, {}];
    expect(gate.enter(one, never)).toBeUndefined();
    expect(gate.enter(two, never)).toBeUndefined();
    const order: string[] = [];
    const asked = [
      ask(gate, one, order, 'one'),
      ask(gate, one, order, 'one again'),
      ask(gate, three, order, 'three'),
    ];
    gate.leave(two);
    await asked[2];
    expect(order).toEqual(['three']);
    gate.leave(one);
    await asked[0];
    gate.leave(three);
    gate.leave(one);
    await asked[1];
    expect(order).toEqual(['three', 'one', 'one again']);
  });

  test('forgets who gives up waiting', async () => {
    const gate = new Gate(1);
    const [one, two, three] = [{}, {}, {}];
    expect(gate.enter(one, never)).toBeUndefined();
    const controller = new AbortController();
    const given = gate.enter(two, () => controller.signal);
    const order: string[] = [];
    const kept = ask(gate, three, order, 'three');
    controller.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    gate.leave(one);
    await kept;
    await expect(gate.enter(one, () => AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
  });
});
