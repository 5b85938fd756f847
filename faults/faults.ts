import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runCampaign, type Row } from './campaign.ts';
import { faults } from './faults/index.ts';
import { checkWrite, parseOptions, usage, UsageError, type Options } from './options.ts';
import { plainTable, type Results } from './report.ts';

const resultsFile = fileURLToPath(new URL('results.json', import.meta.url));

const readResults = (): Results => JSON.parse(readFileSync(resultsFile, 'utf8')) as Results;

/** Writes the results of this run; rows that it has not tried stay as they are. */
function writeResults({ seed, rounds, seconds, faults: tried }: Options, rows: readonly Row[]): void {
  const before = readResults();
  const isTried = (name: string): boolean => tried.some((fault) => fault.name === name);
  const kept = before.rows.filter(({ fault }) => !isTried(fault));
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    seed,
    rounds,
    seconds,
    faults: faults.map(({ name, what }) => ({ name, what })),
    rows: faults.flatMap(({ name }) => [...rows, ...kept].filter(({ fault }) => fault === name)),
  };
  writeFileSync(resultsFile, `${JSON.stringify(results, undefined, 2)}\n`);
}

async function main(options: Options): Promise<void> {
  checkWrite(options, readResults());
  const progress = (text: string): void => {
    process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
  };
  progress(`seed ${options.seed}`);
  // An engine for each row, so that the table counts each harm once.
  const rows = await runCampaign({ ...options, together: false }, progress);
  process.stdout.write(`${plainTable(rows)}\n`);
  if (options.write) {
    writeResults(options, rows);
    execFileSync(process.execPath, [fileURLToPath(new URL('../scripts/docs.ts', import.meta.url))], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  const problems = rows.flatMap((row) => row.problems.map((each) => `${row.fault} (${row.mode}): ${each}`));
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // The handler of `exit` ends the processes that it started.
  process.once(signal, () => process.exit(130));
}
try {
  const options = parseOptions(process.argv.slice(2), faults);
  if (options === undefined) process.stdout.write(usage(faults));
  else await main(options);
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE');
  process.stderr.write(
    isUsage ? `${(error as Error).message}\n\n${usage(faults)}` : `${String((error as Error).stack)}\n`,
  );
  process.exitCode = 1;
}
// Helpers of a failed fault would keep it running; they end with it.
process.exit();
