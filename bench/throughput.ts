import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Options, Part } from './options.ts';
import { WARM_FROM, type Shape } from './messages.ts';
import { Sender, cpuOf } from './processes.ts';
import { profileOptions } from './profile.ts';
import type { Sent } from './sender.ts';
import { startBare, startProduct, type StreamPart, type Target } from './target.ts';
import { sleep } from './wait.ts';

export interface Case {
  readonly part: Part;
  readonly name: string;
  /** The least share of bare `ws`; undefined for a case without a target. */
  readonly target: number | undefined;
  /** The most CPU time that it may take beyond `against`, in microseconds for each message that it writes. */
  readonly extra?: number;
  readonly stream: StreamPart;
  readonly shape?: Shape;
  /** The case for the comparison, instead of bare `ws`. */
  readonly against?: Part;
  /** The number of messages that must be written for a number sent, if that is known. */
  readonly expected: (sent: Sent) => number | undefined;
}

/** Messages per second, and CPU time for each message in microseconds: of all threads, and of the main one. */
export interface Rate {
  readonly perSecond: number;
  readonly cpu: number;
  readonly mainCpu: number;
}

const file = join(tmpdir(), `millrace-bench-${process.pid}.jsonl`);
const json = { type: 'json' };
const drop = { type: 'drop' };
const toFile = { type: 'file', path: file, append: false };
const sql = (query: string): object[] => [{ type: 'sql', query }];
const filter = `FROM flow WHERE temperature >= ${WARM_FROM}`;

export const cases: readonly Case[] = [
  {
    part: '4',
    name: '(4) ws → drop, no codec',
    target: 0.75,
    stream: { output: drop },
    expected: ({ messages }) => messages,
  },
  {
    part: '1',
    name: '(1) ws → json codec → drop',
    target: 0.35,
    stream: { codec: json, output: drop },
    expected: ({ messages }) => messages,
  },
  {
    part: '3',
    name: '(3) ws → sql group-by → drop',
    target: 0.5,
    stream: {
      codec: json,
      processors: sql(
        'SELECT sensor, avg(temperature) AS average, count(*) AS readings FROM flow GROUP BY sensor',
      ),
      output: drop,
    },
    expected: () => undefined,
  },
  {
    part: '2',
    name: '(2) ws → sql filter, projection → file',
    target: 0.45,
    stream: {
      codec: json,
      processors: sql(`SELECT sensor, temperature ${filter}`),
      output: toFile,
    },
    expected: ({ warm }) => warm,
  },
  {
    part: 'nested',
    name: 'ws → sql filter, projection of nested fields → file',
    target: 0.35,
    shape: 'nested',
    stream: {
      codec: json,
      processors: sql(`SELECT did, commit.rev AS rev FROM flow WHERE commit.operation = 'create'`),
      output: toFile,
    },
    expected: ({ warm }) => warm,
  },
  {
    part: 'meta',
    name: '(2) with metadata columns, against (2) without',
    target: undefined,
    extra: 2,
    against: '2',
    stream: {
      codec: json,
      processors: sql(
        `SELECT sensor, temperature, __meta_source AS source, __meta_ext['session_id'] AS session ${filter}`,
      ),
      output: toFile,
    },
    expected: ({ warm }) => warm,
  },
  {
    part: 'star',
    name: 'ws → sql SELECT * with a filter → file',
    target: undefined,
    stream: {
      codec: json,
      processors: sql(`SELECT * ${filter}`),
      output: toFile,
    },
    expected: ({ warm }) => warm,
  },
  {
    part: 'durable',
    name: '(2) with durability, against (2) without',
    target: 0.6,
    against: '2',
    stream: {
      codec: json,
      processors: sql(`SELECT sensor, temperature ${filter}`),
      output: toFile,
      durability: {},
    },
    expected: ({ warm }) => warm,
  },
  {
    part: 'durable4',
    name: '(4) with durability, against (4) without',
    target: undefined,
    against: '4',
    stream: { output: drop, durability: {} },
    expected: ({ messages }) => messages,
  },
];

/** One case and its comparison: the results of each in each round. */
export interface Comparison {
  readonly case: Case;
  readonly connections: number;
  readonly bare: Rate[];
  readonly product: Rate[];
  /** For each round: the product's rate divided by the mean of bare's before and after it. */
  readonly ratios: number[];
}

/**
 * Runs bare, case, bare, case, …, bare in each round (or another comparison instead of bare), so that all share the
 * machine's state.
 */
export async function compareThroughput(
  options: Options,
  progress: (text: string) => void,
): Promise<Comparison[]> {
  const chosen = cases.filter(({ part }) => options.parts.has(part));
  const comparisons = options.connections.flatMap((connections) =>
    chosen.map((each): Comparison => ({ case: each, connections, bare: [], product: [], ratios: [] })),
  );
  const product = async (each: Case, connections: number): Promise<Rate> => {
    const target = await startProduct(options.bin, each.stream, profileOptions(options, each.part));
    const written = each.stream.output === toFile ? file : undefined;
    return await measure(target, connections, options, each, written);
  };
  const reference = async ({ against, shape }: Case, connections: number): Promise<Rate> => {
    const other = cases.find(({ part }) => part === against);
    if (other !== undefined) return await product(other, connections);
    return await measure(await startBare(), connections, options, { shape });
  };
  for (let round = 1; round <= options.rounds; round++) {
    let last: { rate: Rate; connections: number; of: Case } | undefined;
    for (const comparison of comparisons) {
      const { connections, case: each } = comparison;
      progress(`round ${round}: ${each.name}, ${connections} connections`);
      const usable =
        last?.connections === connections && last.of.against === each.against && last.of.shape === each.shape;
      const before = usable ? last!.rate : await reference(each, connections);
      const rate = await product(each, connections);
      const after = await reference(each, connections);
      comparison.bare.push(before, after);
      comparison.product.push(rate);
      comparison.ratios.push((2 * rate.perSecond) / (before.perSecond + after.perSecond));
      last = { rate: after, connections, of: each };
    }
  }
  await rm(file, { force: true });
  return comparisons;
}

/** Warms up, then sends for some seconds and counts until the last message is confirmed. */
async function measure(
  target: Target,
  connections: number,
  options: Options,
  {
    shape,
    expected = ({ messages }) => messages,
  }: { shape?: Shape | undefined; expected?: Case['expected'] },
  written?: string,
): Promise<Rate> {
  const sender = new Sender();
  await sender.connect(target.port, connections, undefined, shape);
  const warmUp = await sender.flood(Math.min(1.5, options.seconds));
  await untilConfirmed(target, warmUp.messages);
  const cpuBefore = await cpuOf(target.pid);
  const start = performance.now();
  const sent = await sender.flood(options.seconds);
  const all: Sent = { messages: warmUp.messages + sent.messages, warm: warmUp.warm + sent.warm };
  await untilConfirmed(target, all.messages);
  const seconds = (performance.now() - start) / 1000;
  const cpu = await cpuOf(target.pid);
  await check(target, expected(all));
  if (written !== undefined) await checkLines(written, expected(all));
  await sender.stop();
  await target.stop();
  const perMessage = 1e6 / sent.messages;
  return {
    perSecond: sent.messages / seconds,
    cpu: (cpu.all - cpuBefore.all) * perMessage,
    mainCpu: (cpu.main - cpuBefore.main) * perMessage,
  };
}

/** @throws Error if messages are lost or come twice */
export async function untilConfirmed(target: Target, messages: number): Promise<void> {
  let last = -1;
  let lastChange = performance.now();
  for (;;) {
    const { received, inFlight } = await target.counts();
    if (received > messages) throw new Error(`sent ${messages}, but ${received} arrived`);
    if (received === messages && inFlight === 0) return;
    const state = received - inFlight;
    if (state !== last) lastChange = performance.now();
    else if (performance.now() - lastChange > 20_000) {
      throw new Error(
        `sent ${messages}; ${received} arrived and ${inFlight} are in flight, and nothing happens`,
      );
    }
    last = state;
    await sleep(10);
  }
}

async function check(target: Target, expected: number | undefined): Promise<void> {
  const { written, errors } = await target.counts();
  if (errors > 0) throw new Error(`${errors} errors`);
  if (expected === undefined) return;
  if (written !== expected)
    throw new Error(`${expected} messages should have been written, but ${written} were`);
}

/** The file itself must have what the metrics claim. */
async function checkLines(path: string, expected: number | undefined): Promise<void> {
  const data = await readFile(path);
  let lines = 0;
  for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) lines++;
  if (lines !== expected) throw new Error(`${expected} lines should be in ${path}, but ${lines} are`);
}
