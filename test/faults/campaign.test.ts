import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, expect } from 'vitest';
import { runCampaign } from '../../faults/campaign.ts';
import { faults } from '../../faults/faults/index.ts';
import { underLoad } from '../../faults/load.ts';
import { removeRemains } from '../../faults/remains.ts';
import { testWith } from '../support/tools.ts';

const test = testWith('strace', 'faketime', 'prlimit', 'the right to mount a disk (root)');
afterAll(removeRemains);

/** Drawn anew each time; a failure shows it. */
const seed = Math.trunc(Math.random() * 2 ** 31) + 1;
const effort = { rounds: 1, seconds: 2, stride: 61, jobs: 2 };

/** Changes what the sink has behind everyone's back: a message gone, one there twice, and two in the wrong order. */
const tampered = underLoad({
  name: 'tampered with',
  what: 'no fault of the engine',
  modes: ['stored'],
  options: { patience: 100 },
  harm: async (arena) => {
    await arena.flows(200);
    await arena.engine.terminate();
    const lines = readFileSync(arena.sinkFile, 'utf8').split('\n');
    const [gone, twice, first, second] = [...lines.keys()].filter((at) =>
      lines[at]!.startsWith('{"id":"s0-'),
    );
    [lines[first!], lines[second!]] = [lines[second!]!, lines[first!]!];
    lines.push(lines[twice!]!, '');
    lines.splice(gone!, 1);
    writeFileSync(arena.sinkFile, lines.join('\n').replace(/\n+$/, '\n'));
    return 1;
  },
});

test('the campaign sees a message that is lost, one that comes twice, and one that comes too late', async () => {
  const [row] = await runCampaign({ faults: [tampered], seed, ...effort }, () => {});
  expect(row).toMatchObject({ injections: 1, lost: 1, duplicated: 1, reordered: 1 });
  expect(row!.problems).toEqual(['lost: s0-1', 'came after a later one of its session: s0-3']);
});

for (const fault of faults) {
  test(`${fault.name}: nothing that was acknowledged is lost (seed ${seed})`, async () => {
    const rows = await runCampaign({ faults: [fault], seed, ...effort }, () => {});
    expect(rows).toHaveLength(fault.modes.length);
    for (const row of rows) {
      expect(row).toMatchObject({ lost: 0, reordered: 0, problems: [] });
      expect(row.acknowledged, `${row.fault} (${row.mode})`).toBeGreaterThan(0);
      expect(row.injections, `${row.fault} (${row.mode})`).toBeGreaterThan(0);
    }
  }, 240_000);
}
