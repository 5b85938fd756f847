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
  /** How many engines run at a time, each for a row of the table. */
  readonly jobs: number;
  /** The modes of a fault that harms all streams alike are streams of one engine: the same harm, in less time. */
  readonly together: boolean;
}

/** Runs each fault in each of its modes. */
export async function runCampaign(
  options: CampaignOptions,
  progress: (text: string) => void,
): Promise<Row[]> {
  const left = options.faults.flatMap((fault) => {
    const shared = options.together && fault.together === true;
    const groups = shared ? [fault.modes] : fault.modes.map((mode) => [mode]);
    return groups.map((modes) => ({ fault, modes, rows: [] as Row[] }));
  });
  const tasks = [...left];
  const work = async (): Promise<void> => {
    for (let task = left.shift(); task !== undefined; task = left.shift()) {
      const { fault, modes } = task;
      const label = `${fault.name} (${modes.join('; ')})`;
      progress(label);
      task.rows = await runFault(fault, modes, options, (text) => progress(`${label}: ${text}`));
      for (const row of task.rows) tell(row, progress);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return tasks.flatMap(({ rows }) => rows);
}

function tell(row: Row, progress: (text: string) => void): void {
  const { fault, mode, injections, acknowledged, lost, duplicated, reordered, seconds, problems } = row;
  const label = `${fault} (${mode})`;
  progress(
    `${label}: ${injections} faults, ${acknowledged} acknowledged, ${lost} lost, ${duplicated} duplicated, ${reordered} reordered, ${seconds} s`,
  );
  for (const problem of problems) progress(`${label}: PROBLEM: ${problem}`);
}

async function runFault(
  fault: Fault,
  modes: readonly Mode[],
  { seed, ...effort }: CampaignOptions,
  progress: (text: string) => void,
): Promise<Row[]> {
  const started = performance.now();
  // A seed of its own, so that a fault alone does the same as within the whole campaign.
  const random = new Random(seed);
  let outcomes: readonly Outcome[];
  try {
    outcomes = await fault.run({ modes, effort, random, progress });
  } catch (error) {
    const nothing = { acknowledged: 0, lost: [], duplicated: 0, reordered: [], damaged: [], torn: 0 };
    const problems = [String((error as Error).stack)];
    outcomes = modes.map(() => ({ injections: 0, verdict: nothing, problems }));
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  return outcomes.map((outcome, index) => rowOf(fault, modes[index]!, seconds, outcome));
}

function rowOf(fault: Fault, mode: Mode, seconds: number, outcome: Outcome): Row {
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
    seconds,
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
