import type { Fault, Outcome } from './fault.ts';
import type { Effort, Mode } from './fault-options.ts';
import { Random } from './random.ts';

/** The outcome of one fault in one mode. */
export interface Row {
  readonly fault: string;
  readonly mode: Mode;
  readonly injections: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Duration in seconds. */
  readonly seconds: number;
  /** Violations, each a sentence; none if all is well. */
  readonly problems: readonly string[];
}

export interface CampaignOptions extends Effort {
  readonly faults: readonly Fault[];
  readonly seed: number;
  /** How many rows of the table run at a time. */
  readonly jobs: number;
}

/** Runs each fault in each of its modes. */
export async function runCampaign(
  options: CampaignOptions,
  progress: (text: string) => void,
): Promise<Row[]> {
  const tasks = options.faults.flatMap((fault) => fault.modes.map((mode) => ({ fault, mode })));
  const rows: Row[] = [];
  const left = [...tasks.entries()];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [index, { fault, mode }] = next;
      const label = `${fault.name} (${mode})`;
      progress(label);
      const row = await runFault(fault, mode, options, (text) => progress(`${label}: ${text}`));
      rows[index] = row;
      const { injections, acknowledged, lost, duplicated, reordered, seconds } = row;
      progress(
        `${label}: ${injections} faults, ${acknowledged} acknowledged, ${lost} lost, ${duplicated} duplicated, ${reordered} reordered, ${seconds} s`,
      );
      for (const problem of row.problems) progress(`${label}: PROBLEM: ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return rows;
}

async function runFault(
  fault: Fault,
  mode: Mode,
  { seed, ...effort }: CampaignOptions,
  progress: (text: string) => void,
): Promise<Row> {
  const started = performance.now();
  // A seed of its own, so that a fault alone does the same as within the whole campaign.
  const random = new Random(seed);
  let outcome: Outcome;
  try {
    outcome = await fault.run({ mode, effort, random, progress });
  } catch (error) {
    const nothing = { acknowledged: 0, lost: [], duplicated: 0, reordered: [], damaged: [], torn: 0 };
    outcome = { injections: 0, verdict: nothing, problems: [String((error as Error).stack)] };
  }
  const { injections, verdict, problems } = outcome;
  const { acknowledged, lost, duplicated, reordered, damaged } = verdict;
  return {
    fault: fault.name,
    mode,
    injections,
    acknowledged,
    lost: lost.length,
    duplicated,
    reordered: reordered.length,
    seconds: Math.round((performance.now() - started) / 1000),
    problems: [
      ...problems,
      ...told('lost', lost),
      ...told('came after a later one of its session', reordered),
      ...told('came out damaged', damaged),
    ],
  };
}

function told(what: string, ids: readonly string[]): string[] {
  if (ids.length === 0) return [];
  const shown = ids.slice(0, 5).join(', ');
  return [`${what}: ${shown}${ids.length > 5 ? ` and ${ids.length - 5} more` : ''}`];
}
