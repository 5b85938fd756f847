import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { runCampaign } from '../../faults/campaign.ts';
import { faultGroups } from '../../faults/faults/index.ts';
import { underLoad } from '../../faults/load.ts';
import { effort, seed, test } from '../support/campaign.ts';

/** Changes the sink's messages behind everyone's back: one gone, one there twice, and two in the wrong order. */
const tampered = underLoad({
  name: 'tampered with',
  what: 'no fault of the engine',
  modes: ['stored'],
  options: { patience: 100 },
  harm: async (arena) => {
    await arena.flows(200);
    await arena.engine.terminate();
    const lines = readFileSync(arena.lane.sinkFile, 'utf8').split('\n');
    const [gone, twice, first, second] = [...lines.keys()].filter((at) =>
      lines[at]!.startsWith('{"id":"s0-'),
    );
    [lines[first!], lines[second!]] = [lines[second!]!, lines[first!]!];
    lines.push(lines[twice!]!, '');
    lines.splice(gone!, 1);
    writeFileSync(arena.lane.sinkFile, lines.join('\n').replace(/\n+$/, '\n'));
    return 1;
  },
});

test('the campaign sees a message that is lost, one that comes twice, and one that comes too late', async () => {
  const [row] = await runCampaign({ faults: [tampered], seed, ...effort }, () => {});
  expect(row).toMatchObject({ injections: 1, lost: 1, duplicated: 1, reordered: 1 });
  expect(row!.problems).toEqual(['lost: s0-1', 'came after a later one of its session: s0-3']);
});

test('every group of faults has a file that runs it', () => {
  for (const group of Object.keys(faultGroups)) {
    const text = readFileSync(join(import.meta.dirname, `campaign-${group}.test.ts`), 'utf8');
    expect(text).toContain(`testFaults('${group}');`);
  }
});
