import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WARM_FROM } from './messages.ts';
import type { Options } from './options.ts';
import type { Latencies, ProbeCommand } from './prober.ts';
import { cpuOf, Helper } from './processes.ts';
import { profileOptions } from './profile.ts';
import { median, type Row } from './report.ts';
import { startBare, startLoop, startProduct, type Target } from './target.ts';

const CONNECTIONS = 10;
const WARM_UP_SECONDS = 2;

/** Cores that a process keeps busy at a steady rate, and how long its messages take. */
interface Steady extends Latencies {
  readonly cores: number;
}

interface Way {
  readonly name: string;
  /** False for a server that only counts. */
  readonly writes: boolean;
  start(options: Options, perSecond: number): Promise<Target>;
}

/** For each rate: the most cores, and the longest 99th percentile in milliseconds. */
const rates = [
  { perSecond: 1_000, cores: 0.12, p99: undefined },
  { perSecond: 10_000, cores: 0.2, p99: 2 },
] as const;

const file = join(tmpdir(), `millrace-bench-steady-${process.pid}.jsonl`);
const product =
  (name: string, list: string): Way['start'] =>
  (options, perSecond) =>
    startProduct(
      options.bin,
      {
        codec: { type: 'json' },
        processors: [{ type: 'sql', query: `SELECT ${list} FROM flow WHERE temperature >= ${WARM_FROM}` }],
        output: { type: 'file', path: file },
      },
      profileOptions(options, `${name}-${perSecond}`),
    );

const bare: Way = { name: 'bare ws', writes: false, start: () => startBare() };
const loop: Way = { name: 'a loop by hand', writes: true, start: () => startLoop(file) };
const ways = [
  bare,
  loop,
  { name: 'sql filter, projection', writes: true, start: product('steady', 'sensor, temperature, "at"') },
  {
    name: 'sql that computes',
    writes: true,
    start: product('steady-computed', 'sensor, temperature * 1.8 + 32 AS temperature, "at"'),
  },
] as const;

/** CPU time and latency at steady rates: bare `ws`, a loop by hand and the product in turn. */
export async function compareSteady(
  options: Options,
  progress: (text: string) => void,
): Promise<{ rows: Row[]; raw: object }> {
  const runs = rates.map(() => ways.map((): Steady[] => []));
  for (let round = 1; round <= options.rounds; round++) {
    for (const [at, { perSecond }] of rates.entries()) {
      for (const [index, way] of ways.entries()) {
        progress(`round ${round}: ${way.name} at ${perSecond} a second`);
        runs[at]![index]!.push(await measure(way, perSecond, options));
      }
    }
  }
  await rm(file, { force: true });
  const rows = rates.flatMap(({ perSecond, cores, p99 }, at) => {
    const of = (index: number, key: keyof Steady): number =>
      median(runs[at]![index]!.map((each) => each[key]));
    const shown = (index: number): string =>
      `${of(index, 'cores').toFixed(2)} core, p50 ${of(index, 'p50').toFixed(1)}, p99 ${of(index, 'p99').toFixed(1)} ms`;
    return ways.slice(1).map((way, before): Row => {
      const index = before + 1;
      const hasTarget = index === 2;
      const isQuick = p99 === undefined || of(index, 'p99') <= p99;
      return {
        what: `steady: ws → ${way.name} → file, ${perSecond / 1000}k/s`,
        bare: `${of(0, 'cores').toFixed(2)} core`,
        product: shown(index),
        reached: `${of(index, 'cores').toFixed(2)} core`,
        target: hasTarget ? `≤ ${cores} core${p99 === undefined ? '' : `, p99 ≤ ${p99} ms`}` : '',
        ok: hasTarget ? isQuick && of(index, 'cores') <= cores : undefined,
      };
    });
  });
  const raw = rates.map(({ perSecond }, at) => ({
    perSecond,
    ways: ways.map(({ name }, index) => ({ name, rounds: runs[at]![index] })),
  }));
  return { rows, raw };
}

async function measure(way: Way, perSecond: number, options: Options): Promise<Steady> {
  // The prober opens it before the first message is written.
  await writeFile(file, '');
  const prober = Helper.start('./prober.ts');
  const ask = <Reply>(command: ProbeCommand): Promise<Reply> => prober.ask<Reply>(command);
  const target = await way.start(options, perSecond);
  const { writes: observed } = way;
  await ask({
    type: 'connect',
    port: target.port,
    connections: CONNECTIONS,
    file: observed ? file : undefined,
  });
  const steady = { type: 'run', perSecond, warmUpSeconds: 0, observed } as const;
  await ask({ ...steady, seconds: WARM_UP_SECONDS });
  const before = await cpuOf(target.pid);
  const start = performance.now();
  const latencies = await ask<Latencies>({ ...steady, seconds: options.seconds });
  const seconds = (performance.now() - start) / 1000;
  const after = await cpuOf(target.pid);
  await ask({ type: 'close' });
  await target.stop();
  await prober.stop();
  return { ...latencies, cores: (after.all - before.all) / seconds };
}
