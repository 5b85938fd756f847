import { expect, test } from 'vitest';
import { judge as judgeDamage, type Damage, type Reading } from '../../faults/damage.ts';

const entries = [['a1', 'a2'], ['b1'], ['c1', 'c2']];
const bytes = Buffer.from('HEAD a1 a2 . b1 . c1 c2 .');
const whole: Reading = { entries, cutBytes: 0 };

/** Nobody was told of the last commit, unless a test says otherwise. */
const judge = (damage: Damage, log: Reading, content: Buffer, found: Reading, told = /^[ab]/) =>
  judgeDamage(damage, log, content, found, (line) => told.test(line));

const at = (text: string): number => bytes.indexOf(text) + 1;
const flip = (text: string): Damage => ({ file: 'log', kind: 'flip', offset: at(text) });
const cut = (text: string): Damage => ({ file: 'log', kind: 'cut', offset: at(text) });
const gives = (count: number, cutBytes = 0): Reading => ({ entries: entries.slice(0, count), cutBytes });

test('a log may refuse, with an error of its own', () => {
  const refused = { refused: 'MILLRACE_WAL_DAMAGED', entries: [], cutBytes: 0 };
  expect(judge(flip('a1'), whole, bytes, refused)).toBeUndefined();
  expect(judge(flip('a1'), whole, bytes, { ...refused, refused: 'ERR_OUT_OF_RANGE' })).toMatch(/fails with/);
});

test('entries committed before the damage must be there, unchanged and in order', () => {
  expect(judge(cut('c1'), whole, bytes, gives(2))).toBeUndefined();
  expect(judge(cut('c1'), whole, bytes, gives(1))).toMatch(/returns 1 entries, but 2 end before/);
  const changed = { entries: [['a1', 'XX'], ['b1']], cutBytes: 9 };
  expect(judge(cut('c1'), whole, bytes, changed)).toMatch(/something other/);
  const skipped = { entries: [entries[0]!, entries[2]!], cutBytes: 9 };
  expect(judge(flip('b1'), whole, bytes, skipped)).toMatch(/something other/);
});

test('no acknowledged entry may be left out, whatever the log reports', () => {
  expect(judge(flip('b1'), whole, bytes, gives(1, 9))).toMatch(/the others contain acknowledged messages/);
  expect(judge(flip('c1'), whole, bytes, gives(2, 9), /c2/)).toMatch(/acknowledged messages/);
  expect(judge(cut('c1'), whole, bytes, gives(2), /c2/)).toMatch(/acknowledged messages/);
});

test('entries that nobody was told of may be cut off, and the log reports it', () => {
  expect(judge(flip('c1'), whole, bytes, gives(2, 9))).toBeUndefined();
  expect(judge(flip('c1'), whole, bytes, gives(2))).toMatch(/without saying so/);
});
