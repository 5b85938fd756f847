import { expect, test } from 'vitest';
import { faults } from '../../faults/faults/index.ts';
import { checkWrite, keyOf, parseOptions, type Options } from '../../faults/options.ts';

test('without options everything runs, five times', () => {
  expect(parseOptions([], faults)).toMatchObject({
    faults,
    rounds: 5,
    seconds: 10,
    stride: 1,
    jobs: 1,
    write: false,
  });
  expect(parseOptions(['--help'], faults)).toBeUndefined();
});

test('every option is taken', () => {
  const args = '--rounds 2 --seconds 3 --stride 4 --jobs 6 --seed 7 --faults sink-stopped,log-damaged';
  const options = parseOptions(args.split(' '), faults)!;
  expect(options).toMatchObject({ rounds: 2, seconds: 3, stride: 4, jobs: 6, seed: 7 });
  expect(options.faults.map(keyOf)).toEqual(['sink-stopped', 'log-damaged']);
});

test.each([
  ['--faults nothing', '--faults: there is no fault nothing'],
  ['--rounds 0', '--rounds: expected a whole number from 1, got 0'],
  ['--faults engine-killed --seconds 3', '--seconds: has no effect on the faults of --faults'],
  ['--faults sink-stopped --stride 3', '--stride: has no effect on the faults of --faults'],
  ['--write --stride 3', '--write: the table covers every byte of a log'],
  ['more', "Unexpected argument 'more'"],
])('%s is a mistake', (args, message) => {
  expect(() => parseOptions(args.split(' '), faults)).toThrow(message);
});

test('some rows of the table are written only by a run like that of the others', () => {
  const row = {
    mode: 'stored',
    injections: 1,
    acknowledged: 1,
    lost: 0,
    duplicated: 0,
    reordered: 0,
  } as const;
  const rows = faults.map(({ name }) => ({ ...row, fault: name, seconds: 1, problems: [] }));
  const before = { date: '2026-01-01', rounds: 3, seconds: 20, seed: 9, faults: [], rows };
  const options = (args: string): Options => parseOptions(['--write', ...args.split(' ')], faults)!;
  checkWrite(options('--rounds 1'), before);
  checkWrite(options('--faults engine-killed --rounds 3 --seconds 20 --seed 9'), before);
  checkWrite({ ...options('--faults engine-killed'), write: false }, before);
  expect(() => checkWrite(options('--faults engine-killed --rounds 3 --seconds 20'), before)).toThrow(
    'the rows that stay are from --rounds 3 --seconds 20 --seed 9',
  );
});
