import { expect, test } from 'vitest';
import { check, type Ledger } from '../../faults/checker.ts';
import { messageOf } from '../../faults/messages.ts';

/** Two sessions that sent five messages each, of which the first four are acknowledged. */
function ledger(): Ledger {
  return new Map(['s0', 's1'].map((session) => [session, { sent: 5, acknowledged: new Set([1, 2, 3, 4]) }]));
}

const line = (session: string, number: number): string => messageOf({ session, number });

/** The messages that a sink should have, one session after the other. */
const whole = ['s0', 's1'].flatMap((session) => [1, 2, 3, 4].map((number) => line(session, number)));

test('nothing is found where all is there once and in order, whatever else was not acknowledged', () => {
  const fine = { acknowledged: 8, lost: [], duplicated: 0, reordered: [], damaged: [], torn: 0 };
  expect(check(ledger(), whole)).toEqual(fine);
  expect(check(ledger(), [...whole, line('s1', 5), ''])).toEqual(fine);
  // Sessions may be mixed in any way.
  const mixed = [1, 2, 3, 4].flatMap((number) => [line('s1', number), line('s0', number)]);
  expect(check(ledger(), mixed)).toEqual(fine);
});

test('an acknowledged message that is missing is lost', () => {
  expect(check(ledger(), whole.toSpliced(6, 1)).lost).toEqual(['s1-3']);
  expect(check(ledger(), []).lost).toHaveLength(8);
});

test('a second copy is a duplicate, wherever it is, and does not count as reordered', () => {
  expect(check(ledger(), [...whole, line('s0', 1), line('s0', 2)])).toMatchObject({
    duplicated: 2,
    reordered: [],
    lost: [],
  });
});

test('a message that comes for the first time after a later one of its session is reordered', () => {
  const swapped = [...whole.slice(0, 2), whole[3]!, whole[2]!, ...whole.slice(4)];
  expect(check(ledger(), swapped)).toMatchObject({ reordered: ['s0-3'], lost: [], duplicated: 0 });
});

test('a line that nobody sent is damage: a changed byte, two lines in one, a number that was never sent', () => {
  const changed = whole[2]!.replace('"fill":"', '"fill":"!');
  const joined = whole[0]! + whole[1]!;
  const never = line('s0', 6);
  const verdict = check(ledger(), [...whole.toSpliced(2, 1, changed), joined, never, 'null']);
  expect(verdict.damaged).toHaveLength(4);
  expect(verdict.lost).toEqual(['s0-3']);
});

test('a torn line does not count as the message', () => {
  const verdict = check(ledger(), [...whole.slice(0, 7), whole[7]!.slice(0, -3), '{"id":"s', '{"']);
  expect(verdict).toMatchObject({ lost: ['s1-4'], torn: 3, damaged: [] });
});
