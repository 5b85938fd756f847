import { expect } from 'vitest';
import { runCampaign } from '../../faults/campaign.ts';
import { faultGroups, type FaultGroup } from '../../faults/faults/index.ts';
import { programs } from '../../faults/programs.ts';
import { removeRemains } from '../../faults/remains.ts';
import { afterFile } from './cleanup.ts';
import { program } from './programs.ts';
import { testWith } from './tools.ts';

programs.engine = program('faultsEngine');
programs.sink = program('faultsSink');

export const test = testWith('strace', 'faketime', 'prlimit', 'the right to mount a disk (root)');

/** Drawn anew each time; a failure shows it. */
export const seed = Math.trunc(Math.random() * 2 ** 31) + 1;
export const effort = { rounds: 1, seconds: 2, stride: 61, jobs: 2, together: true };

/** A test for each fault of a group. */
export function testFaults(group: FaultGroup): void {
  afterFile(removeRemains);
  for (const fault of faultGroups[group]) {
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
}
