import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { Helper, freePort, track } from './processes.ts';
import { sleep } from './wait.ts';

/** A server's counts of the messages sent to it. */
export interface Counts {
  readonly received: number;
  /** Received and not yet confirmed by the output. */
  readonly inFlight: number;
  /** Confirmed by the output. */
  readonly written: number;
  /** Refused messages, and failed attempts. */
  readonly errors: number;
}

/** The measured server: the product, or bare `ws`. */
export interface Target {
  readonly pid: number;
  readonly port: number;
  counts(): Promise<Counts>;
  stop(): Promise<void>;
  /** Ends it at once, with whatever it holds. */
  abandon(): Promise<void>;
}

export function startBare(args: readonly string[] = []): Promise<Target> {
  return startHelper('./bare.ts', args);
}

/** The server that a user would write by hand instead of running the product. */
export function startLoop(file: string): Promise<Target> {
  return startHelper('./loop.ts', [file]);
}

async function startHelper(file: string, args: readonly string[]): Promise<Target> {
  const helper = Helper.start(file, args);
  const { port } = await helper.reply<{ port: number }>();
  return {
    pid: helper.pid,
    port,
    counts: async () => {
      const { count } = await helper.ask<{ count: number }>({});
      return { received: count, inFlight: 0, written: count, errors: 0 };
    },
    stop: () => helper.stop(),
    abandon: () => helper.stop(),
  };
}

/** The part of a stream that differs between cases; the rest is the same for all. */
export interface StreamPart {
  readonly codec?: object;
  readonly processors?: readonly object[];
  readonly output: object;
  /** With a log in the bench's own folder. */
  readonly durability?: object;
}

/** Runs the product as its users do, with a file in their format. */
export async function startProduct(
  bin: string,
  part: StreamPart,
  nodeOptions: readonly string[] = [],
): Promise<Target> {
  const [port, healthPort] = [await freePort(), await freePort()];
  const directory = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const file = join(directory, 'bench.yaml');
  const { codec, processors, output, durability } = part;
  await writeFile(
    file,
    stringify({
      logging: { level: 'warn' },
      health_check: { address: `127.0.0.1:${healthPort}` },
      streams: [
        {
          input: { type: 'websocket', mode: 'server', host: '127.0.0.1', port, ...(codec && { codec }) },
          ...(processors && { pipeline: { processors } }),
          output,
          ...(durability && { durability: { path: join(directory, 'log'), ...durability } }),
        },
      ],
    }),
  );
  const child = track(
    spawn(process.execPath, [...nodeOptions, bin, 'run', file], { stdio: ['ignore', 'inherit', 'inherit'] }),
  );
  const health = `http://127.0.0.1:${healthPort}`;
  await untilReady(child, health);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null) {
      const gone = once(child, 'exit');
      child.kill(signal);
      await gone;
    }
    await rm(directory, { recursive: true });
  };
  return {
    pid: child.pid!,
    port,
    counts: () => scrape(health),
    abandon: () => end('SIGKILL'),
    stop: async () => {
      await end('SIGTERM');
      if (child.exitCode !== 0) throw new Error(`millrace ended with ${child.exitCode ?? child.signalCode}`);
    },
  };
}

async function untilReady(child: ChildProcess, health: string): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`millrace ended with ${child.exitCode} before it was ready`);
    const ready = await fetch(`${health}/readiness`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return;
    await sleep(50);
  }
}

async function scrape(health: string): Promise<Counts> {
  // A request for readiness updates the gauge of messages in flight.
  await (await fetch(`${health}/readiness`)).text();
  const text = await (await fetch(`${health}/metrics`)).text();
  const sum = (name: string): number => {
    let total = 0;
    for (const line of text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm')))
      total += Number(line[1]);
    return total;
  };
  return {
    received: sum('millrace_input_messages_total'),
    // Messages that are only in the log count in batches, and none of them may be left.
    inFlight:
      sum('millrace_in_flight_messages') + sum('millrace_state_messages') + sum('millrace_log_entries'),
    written: sum('millrace_output_messages_total'),
    errors: sum('millrace_errors_total'),
  };
}
