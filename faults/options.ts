import { parseArgs } from 'node:util';
import type { CampaignOptions } from './campaign.ts';
import type { Fault } from './fault.ts';
import type { Results } from './report.ts';

export interface Options extends Omit<CampaignOptions, 'together'> {
  /** Write the results, and the table into the documentation. */
  readonly write: boolean;
}

export const usage = (faults: readonly Fault[]): string => `Usage: npm run faults -- [options]

  --rounds N     how often each fault happens in each row of the table (default 5)
  --faults LIST  faults to run, by their names below (default: all)
  --seconds N    how long the sink stands still (default 10)
  --stride N     damage every N-th byte of a log only (default 1)
  --jobs N       rows of the table to work on at a time (default 1)
  --seed N       repeat the random choices of an earlier run
  --write        write faults/results.json and the table into docs/delivery.md; with --faults the other rows stay,
                 and --rounds, --seconds and --seed must be theirs

Faults:
${faults.map((fault) => `  ${keyOf(fault)}\n      ${fault.what}`).join('\n')}
`;

/** The name of a fault as one word. */
export function keyOf({ name }: Fault): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}

export class UsageError extends Error {}

/** Undefined if help is requested. @throws UsageError */
export function parseOptions(args: readonly string[], faults: readonly Fault[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '5' },
      faults: { type: 'string' },
      seconds: { type: 'string' },
      stride: { type: 'string' },
      jobs: { type: 'string', default: '1' },
      seed: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const chosen = values.faults?.split(',').map((key) => {
    const fault = faults.find((each) => keyOf(each) === key);
    if (fault === undefined) throw new UsageError(`--faults: there is no fault ${key}`);
    return fault;
  });
  for (const name of ['seconds', 'stride'] as const) {
    if (values[name] === undefined || (name === 'seconds' && values.write)) continue;
    if ((chosen ?? faults).some(({ uses }) => uses === name)) continue;
    throw new UsageError(`--${name}: has no effect on the faults of --faults`);
  }
  if (values.write && values.stride !== undefined) {
    throw new UsageError('--write: the table covers every byte of a log; leave --stride out');
  }
  return {
    faults: chosen ?? faults,
    rounds: toCount('rounds', values.rounds),
    seconds: toCount('seconds', values.seconds ?? '10'),
    stride: toCount('stride', values.stride ?? '1'),
    jobs: toCount('jobs', values.jobs),
    seed: values.seed === undefined ? Math.trunc(Math.random() * 2 ** 31) : toCount('seed', values.seed),
    write: values.write,
  };
}

/**
 * The table names the options of all its rows.
 * @throws UsageError if a run of some faults would name them for rows that it leaves as they are
 */
export function checkWrite(options: Options, before: Results): void {
  const tried = new Set(options.faults.map(({ name }) => name));
  if (!options.write || before.rows.every(({ fault }) => tried.has(fault))) return;
  if ((['rounds', 'seconds', 'seed'] as const).every((name) => options[name] === before[name])) return;
  const { rounds, seconds, seed } = before;
  throw new UsageError(
    `--write: the rows that stay are from --rounds ${rounds} --seconds ${seconds} --seed ${seed}; give the same, or run all faults`,
  );
}

function toCount(name: string, text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) {
    throw new UsageError(`--${name}: expected a whole number from 1, got ${text}`);
  }
  return count;
}
