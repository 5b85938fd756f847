import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { compareIdle } from './idle.ts';
import { compareLatency } from './latency.ts';
import { USAGE, UsageError, parseOptions, type Options } from './options.ts';
import { profilesTaken, summarise } from './profile.ts';
import { table, throughputRow, type Row } from './report.ts';
import { measureStall } from './stall.ts';
import { compareSteady } from './steady.ts';
import { compareThroughput } from './throughput.ts';

const results = fileURLToPath(new URL('results/', import.meta.url));

async function main(options: Options): Promise<void> {
  const started = new Date();
  const progress = (text: string): void => {
    process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
  };
  if (options.build) {
    progress('building');
    execFileSync('npm', ['run', '--silent', 'build'], {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      stdio: 'inherit',
    });
  }
  await mkdir(results, { recursive: true });
  const rows: Row[] = [];
  const throughput = await compareThroughput(options, progress);
  rows.push(...throughput.map(throughputRow));
  const steady = options.parts.has('steady') ? await compareSteady(options, progress) : undefined;
  rows.push(...(steady?.rows ?? []));
  const latency = options.parts.has('latency') ? await compareLatency(options, progress) : undefined;
  rows.push(...(latency?.rows ?? []));
  const idle = options.parts.has('idle') ? await compareIdle(options, progress) : undefined;
  rows.push(...(idle?.rows ?? []));
  const stall = options.parts.has('stall') ? await measureStall(options, progress) : undefined;
  rows.push(...(stall?.rows ?? []));

  const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length };
  const raw = { throughput, steady: steady?.raw, latency: latency?.raw, idle: idle?.raw, stall: stall?.raw };
  const file = `${results}${started.toISOString().replaceAll(':', '-').slice(0, 19)}.json`;
  const { parts, ...others } = options;
  await writeFile(
    file,
    JSON.stringify({ started, machine, options: { ...others, parts: [...parts] }, rows, raw }, undefined, 2),
  );
  process.stdout.write(
    `${table(rows)}\n\nNode ${machine.node}, ${machine.cores} × ${machine.cpu ?? 'CPU'}\n${file}\n`,
  );
  if (options.profile) await printProfiles();
}

async function printProfiles(): Promise<void> {
  for (const name of await profilesTaken()) {
    process.stdout.write(`\n(${name}) main thread, share of its CPU time\n`);
    for (const { share, name: function_ } of await summarise(name, 15)) {
      process.stdout.write(`${(share * 100).toFixed(1).padStart(6)} %  ${function_}\n`);
    }
  }
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(USAGE);
  else await main(options);
} catch (error) {
  const usage = error instanceof UsageError;
  process.stderr.write(usage ? `${error.message}\n\n${USAGE}` : `${String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
// Helpers of a failed part would keep it running; they end with it.
process.exit();
