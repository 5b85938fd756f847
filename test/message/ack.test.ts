import * as fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { createAck, joinAcks, noAck, type Ack } from '../../src/message/ack.ts';

describe('createAck', () => {
  test('fires once, at the first call', () => {
    const done = vi.fn();
    const ack = createAck(done);
    ack.ack();
    ack.nack(new Error('late'));
    ack.ack();
    expect(done.mock.calls).toEqual([[undefined]]);
  });

  test('hands on the error of a nack', () => {
    const done = vi.fn();
    const error = new Error('refused');
    const ack = createAck(done);
    ack.nack(error);
    ack.ack();
    expect(done.mock.calls).toEqual([[error]]);
  });

  test('a nack without an error is still a nack', () => {
    const done = vi.fn();
    const other = vi.fn();
    createAck(done).nack(undefined);
    joinAcks([createAck(other)]).nack(undefined);
    expect(done.mock.calls[0]![0]).toBeInstanceOf(Error);
    expect(other.mock.calls[0]![0]).toBeInstanceOf(Error);
  });

  test('fires no second time for a fork that is made afterwards', () => {
    const done = vi.fn();
    const ack = createAck(done);
    ack.ack();
    ack.fork().nack(new Error('late'));
    expect(done.mock.calls).toEqual([[undefined]]);
  });

  test('waits for every fork, in whatever order they settle, and gives the first error', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ of: fc.nat(), fails: fc.boolean(), at: fc.nat() }), { maxLength: 8 }),
        (plan) => {
          const done = vi.fn();
          // A fork may be of the original or of another fork.
          const acks: Ack[] = [createAck(done)];
          for (const { of } of plan) acks.push(acks[of % acks.length]!.fork());
          const fails = [false, ...plan.map((each) => each.fails)];
          const order = acks
            .map((_, index) => index)
            .toSorted((a, b) => (plan[a - 1]?.at ?? 0) - (plan[b - 1]?.at ?? 0));
          let first: number | undefined;
          for (const [settled, index] of order.entries()) {
            expect(done).not.toHaveBeenCalled();
            for (let twice = 0; twice < 2; twice++) {
              if (fails[index]) acks[index]!.nack(index);
              else acks[index]!.ack();
              if (settled < order.length - 1) expect(done).not.toHaveBeenCalled();
            }
            if (fails[index]) first ??= index;
          }
          expect(done.mock.calls).toEqual([[first]]);
        },
      ),
    );
  });
});

describe('joinAcks', () => {
  test('settles every ack alike, once', () => {
    const done = [vi.fn(), vi.fn()];
    const error = new Error('refused');
    const ack = joinAcks(done.map((each) => createAck(each)));
    ack.nack(error);
    ack.ack();
    for (const each of done) expect(each.mock.calls).toEqual([[error]]);

    const more = [vi.fn(), vi.fn()];
    joinAcks(more.map((each) => createAck(each))).ack();
    for (const each of more) expect(each.mock.calls).toEqual([[undefined]]);
  });

  test('waits for its forks', () => {
    const done = vi.fn();
    const ack = joinAcks([createAck(done)]);
    const fork = ack.fork();
    ack.ack();
    expect(done).not.toHaveBeenCalled();
    fork.ack();
    expect(done).toHaveBeenCalledOnce();
  });
});

test('noAck does nothing', () => {
  noAck.ack();
  noAck.fork().nack(new Error('nobody cares'));
});
