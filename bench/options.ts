import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

export const PARTS = [
  '1',
  '2',
  '3',
  '4',
  'nested',
  'meta',
  'star',
  'durable',
  'durable4',
  'steady',
  'latency',
  'idle',
  'stall',
] as const;
export type Part = (typeof PARTS)[number];

export interface Options {
  readonly parts: ReadonlySet<Part>;
  /** Rounds of each throughput case and each latency case; the table shows the medians. */
  readonly rounds: number;
  /** Seconds of sending at full speed, and of steady sending. */
  readonly seconds: number;
  /** For the throughput cases. */
  readonly connections: readonly number[];
  readonly idleConnections: number;
  readonly stallSeconds: number;
  /** The program to measure. */
  readonly bin: string;
  /** False if `--bin` names another build, which is measured as it is. */
  readonly build: boolean;
  /** Profile the product's main thread. */
  readonly profile: boolean;
}

export const USAGE = `Usage: npm run bench -- [options]

  --only LIST         parts to run, of: ${PARTS.join(',')} (default: all)
  --rounds N          rounds of each case (default 5)
  --seconds N         of sending in each round (default 4)
  --connections LIST  for the throughput cases (default 10)
  --quick             one short round of everything, to see that it works
  --profile           also say where the CPU time of the product goes
  --bin FILE          measure this millrace.js instead of building this one
`;

export class UsageError extends Error {}

/** Undefined if help is requested. @throws UsageError */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      connections: { type: 'string' },
      quick: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      bin: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const { quick } = values;
  return {
    parts: new Set(values.only?.split(',').map(toPart) ?? PARTS),
    rounds: toCount('rounds', values.rounds ?? (quick ? '1' : '5')),
    seconds: toCount('seconds', values.seconds ?? (quick ? '1' : '4')),
    connections: (values.connections ?? '10').split(',').map((each) => toCount('connections', each)),
    idleConnections: quick ? 1000 : 10_000,
    stallSeconds: quick ? 5 : 30,
    bin: values.bin ?? fileURLToPath(new URL('../bin/millrace.js', import.meta.url)),
    build: values.bin === undefined,
    profile: values.profile,
  };
}

function toPart(name: string): Part {
  const part = PARTS.find((each) => each === name);
  if (part === undefined) throw new UsageError(`--only: unknown part ${name}; expected ${PARTS.join(', ')}`);
  return part;
}

function toCount(name: string, text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1)
    throw new UsageError(`--${name}: expected a whole number from 1, got ${text}`);
  return count;
}
