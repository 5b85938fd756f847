import type { Options } from './options.ts';
import type { Latencies, ProbeCommand } from './prober.ts';
import { Helper } from './processes.ts';
import { median, type Row } from './report.ts';
import { startBare, startProduct, type Target } from './target.ts';

const PER_SECOND = 10_000;
const CONNECTIONS = 10;
const WARM_UP_SECONDS = 2;

interface Route {
  readonly name: string;
  /** For the 99th percentile, in milliseconds. */
  readonly target: number | undefined;
  start(bin: string, receiver: number): Promise<Target>;
}

const codec = { type: 'json' };

const routes: readonly Route[] = [
  {
    name: 'latency of a bare relay: ws → ws',
    target: undefined,
    start: (_, receiver) => startBare(['--forward', String(receiver)]),
  },
  {
    name: '(1) latency: ws → json codec → ws',
    target: 5,
    start: (bin, receiver) =>
      startProduct(bin, { codec, output: { type: 'websocket', url: `ws://127.0.0.1:${receiver}` } }),
  },
];

/** From the sender's write to the moment when the result can be read, at a steady rate. */
export async function compareLatency(
  options: Options,
  progress: (text: string) => void,
): Promise<{ rows: Row[]; raw: object }> {
  const runs = routes.map((): Latencies[] => []);
  for (let round = 1; round <= options.rounds; round++) {
    for (const [index, route] of routes.entries()) {
      progress(`round ${round}: ${route.name}`);
      runs[index]!.push(await probe(route, options));
    }
  }
  const rows = routes.map(({ name, target }, index): Row => {
    const of = (key: keyof Latencies): number => median(runs[index]!.map((each) => each[key]));
    const shown = `p50 ${of('p50').toFixed(1)}, p99 ${of('p99').toFixed(1)}, p99.9 ${of('p999').toFixed(1)} ms`;
    const bare = target === undefined;
    return {
      what: `${name}, ${PER_SECOND / 1000}k/s`,
      bare: bare ? shown : '',
      product: bare ? '' : shown,
      reached: bare ? '' : `${of('p99').toFixed(1)} ms`,
      target: bare ? '' : `p99 ≤ ${target} ms`,
      ok: bare ? undefined : of('p99') <= target,
    };
  });
  return { rows, raw: routes.map(({ name }, index) => ({ name, rounds: runs[index] })) };
}

async function probe(route: Route, options: Options): Promise<Latencies> {
  const prober = Helper.start('./prober.ts');
  const ask = <Reply>(command: ProbeCommand): Promise<Reply> => prober.ask<Reply>(command);
  const { port: receiver } = await ask<{ port: number }>({ type: 'listen' });
  const target = await route.start(options.bin, receiver);
  await ask({ type: 'connect', port: target.port, connections: CONNECTIONS, file: undefined });
  const latencies = await ask<Latencies>({
    type: 'run',
    perSecond: PER_SECOND,
    warmUpSeconds: WARM_UP_SECONDS,
    seconds: options.seconds,
    observed: true,
  });
  await ask({ type: 'close' });
  await target.stop();
  await prober.stop();
  return latencies;
}
