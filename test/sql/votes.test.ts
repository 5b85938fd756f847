import { describe, expect, test } from 'vitest';
import { Votes } from '../../src/sql/votes.ts';

const MINUTE = 60_000_000;

describe('Votes', () => {
  test('one sender, one vote: what most of its messages had', () => {
    const votes = new Votes();
    votes.count('a', 'number', 1000, 0);
    votes.count('b', 'string', 1, 0);
    expect(votes.prefer('string', ['number'])).toBe(false);
    votes.count('c', 'string', 1, 0);
    expect(votes.prefer('string', ['number'])).toBe(true);
    votes.count('c', 'number', 1, 0);
    votes.count('c', 'number', 1, 0);
    expect(votes.prefer('string', ['number'])).toBe(false);
    expect(votes.prefer('number', ['string'])).toBe(true);
  });

  test('among as many senders, more messages win, and none when they are as many', () => {
    const votes = new Votes();
    votes.count('a', 'number', 3, 0);
    votes.count('b', 'string', 3, 0);
    expect([votes.prefer('number', ['string']), votes.prefer('string', ['number'])]).toEqual([false, false]);
    votes.count('b', 'string', 1, 0);
    expect([votes.prefer('number', ['string']), votes.prefer('string', ['number'])]).toEqual([false, true]);
  });

  test('a sender that changes for good outweighs any past, its own and that of unknown senders', () => {
    const votes = new Votes();
    votes.count(undefined, 'number', 1_000_000, 0);
    votes.count('a', 'number', 1_000_000, 0);
    let messages = 0;
    while (!votes.prefer('string', ['number']) && messages < 1000) {
      votes.count('a', 'string', 1, 0);
      messages++;
    }
    expect(messages).toBeLessThanOrEqual(64);
  });

  test('a vote is forgotten after ten minutes, and when 64 others have been heard since', () => {
    const votes = new Votes();
    votes.count('a', 'number', 5, 0);
    votes.count('b', 'string', 1, 9 * MINUTE);
    expect(votes.prefer('string', ['number'])).toBe(false);
    votes.count('b', 'string', 1, 11 * MINUTE);
    expect(votes.prefer('string', ['number'])).toBe(true);
    for (let at = 0; at < 64; at++) votes.count(`c${at}`, 'other', 1, 11 * MINUTE);
    votes.count('d', 'number', 1, 11 * MINUTE);
    expect(votes.prefer('number', ['string'])).toBe(true);
  });

  test('choices that change places', () => {
    const votes = new Votes();
    votes.count('a', 'one', 1, 0);
    votes.swap('one', 'other');
    expect(votes.prefer('other', ['one'])).toBe(true);
  });
});
