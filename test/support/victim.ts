import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import { WebSocket } from 'ws';
import { afterFile } from './cleanup.ts';
import { startCli, type CliOptions } from './cli.ts';
import type { LogLine } from './engine.ts';
import { connectClient, send } from './peers.ts';
import { tempDir } from './temp-dir.ts';
import { until } from './until.ts';

export const MIB = 1024 * 1024;

/** A server input whose messages come out on stdout, for `Victims.start`. */
export function serverYaml(fields = '', inFlight = ''): string {
  return `
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { type: stdout }
    in_flight: { ${inFlight} }
`;
}

/** For a test file: starts `millrace` on the streams that it is given, the first of them as `serverYaml` makes it. */
export function victims() {
  const dir = tempDir();
  const started: Victim[] = [];
  afterFile(() => {
    for (const { child } of started) child.kill('SIGKILL');
  });
  return {
    start: async (streams: string, options: CliOptions = {}): Promise<Victim> => {
      const text = `logging: { level: debug, format: json }\nhealth_check: { address: "127.0.0.1:0" }\nstreams:\n${streams}`;
      const victim = new Victim(dir.file(`victim-${started.length}.yaml`, text), options);
      started.push(victim);
      await victim.logged(/^health on /);
      await victim.url();
      return victim;
    },
  };
}

/** An engine in a process of its own, so that what an attack does to the process can be seen. */
export class Victim {
  readonly child;
  /** The text that the output wrote. */
  readonly lines: string[] = [];
  readonly log: LogLine[] = [];
  #other = '';

  constructor(file: string, options: CliOptions = {}) {
    const { child } = startCli(['run', file], options);
    this.child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.startsWith('{')) this.log.push(JSON.parse(line) as LogLine);
      else this.#other += `${line}\n`;
    });
  }

  /** @throws Error with what it wrote, when the process has ended */
  expectAlive(): void {
    const { exitCode, signalCode } = this.child;
    if (exitCode === null && signalCode === null) return;
    throw new Error(`the process has ended (${exitCode ?? signalCode}): ${this.#other}${this.#logEnd()}`);
  }

  /** Resolves with the first log line whose message matches, from line number `after` on. */
  async logged(message: RegExp, after = 0): Promise<LogLine> {
    return await until(
      `the log line ${String(message)}`,
      () => {
        this.expectAlive();
        return this.log.find((line, index) => index >= after && message.test(line.msg));
      },
      { state: () => `the log ends: ${this.#logEnd()}` },
    );
  }

  /** The URL that a stream's server input says it listens on. */
  async url(stream = 'stream-0'): Promise<string> {
    const line = await until('the URL', () => {
      this.expectAlive();
      return this.log.find((each) => each.msg.startsWith('listening on ') && each.stream === stream);
    });
    return String(line['url']);
  }

  async port(): Promise<number> {
    return Number(new URL(await this.url()).port);
  }

  /** The value of a metric, 0 where there is none. */
  async metric(name: string, ...labels: string[]): Promise<number> {
    const text = await this.http('/metrics');
    const line = text
      .split('\n')
      .find(
        (each) =>
          (each.startsWith(`${name}{`) || each.startsWith(`${name} `)) &&
          labels.every((label) => each.includes(label)),
      );
    return Number(line?.split(' ').at(-1) ?? 0);
  }

  /** Messages that the stream holds, from received to confirmed. */
  async inFlight(stream: string): Promise<number> {
    // The gauge is set when health is asked for.
    await this.http('/health');
    return await this.metric('millrace_in_flight_messages', `stream="${stream}"`);
  }

  async metricIs(value: number, name: string, ...labels: string[]): Promise<void> {
    let last = 0;
    await until(`${name} to be ${value}`, async () => (last = await this.metric(name, ...labels)) === value, {
      state: () => `it is ${last}; the log ends: ${this.#logEnd()}`,
    });
  }

  /** Resident memory, in bytes. */
  get memory(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024;
  }

  /** Sockets that are open, those that listen among them. */
  get sockets(): number {
    let count = 0;
    for (const name of readdirSync(`/proc/${this.child.pid}/fd`)) {
      try {
        if (readlinkSync(`/proc/${this.child.pid}/fd/${name}`).startsWith('socket:')) count++;
      } catch {
        // Closed meanwhile.
      }
    }
    return count;
  }

  async http(path: string): Promise<string> {
    const { msg } = await this.logged(/^health on /);
    const url = new URL(path, msg.slice('health on '.length));
    return await (await fetch(url, { headers: { connection: 'close' } })).text();
  }

  #logEnd(): string {
    return this.log
      .slice(-5)
      .map((line) => JSON.stringify(line))
      .join('\n');
  }
}

/** A measure for the length of an attack: the progress of a client that behaves. */
export interface Others {
  /** How many of its messages have come out. */
  readonly done: number;
  /** Resolves when so many more have. */
  messages(count: number): Promise<void>;
}

/**
 * Runs `attack` while a client that behaves sends one message after the other to the same input. Each must come out, the
 * next is sent when it has, and its connection must stay.
 * @returns how much the process grew meanwhile at most, in bytes
 */
export async function whileOthersWork(
  victim: Victim,
  attack: (others: Others) => Promise<void>,
): Promise<number> {
  const client = await connectClient(await victim.url());
  const name = `good-${goodClients++}`;
  let sent = 0;
  let done = 0;
  const roundTrip = async (): Promise<void> => {
    const message = `${name}:${sent++}`;
    await send(client, message);
    await until(
      `${message} of the client that behaves`,
      () => {
        victim.expectAlive();
        return victim.lines.includes(message);
      },
      { timeout: 20_000, state: () => `its connection is ${client.socket.readyState}` },
    );
    done++;
  };
  // Code and memory of the first messages are not the attack's.
  for (let round = 0; round < 20; round++) await roundTrip();
  const before = victim.memory;
  let highest = before;
  const watch = setInterval(() => (highest = Math.max(highest, victim.memory)), 10);
  const state = { over: false };
  const others: Others = {
    get done() {
      return done;
    },
    messages: async (count) => {
      const goal = done + count;
      await until(`${count} messages of the client that behaves`, () => done >= goal, { timeout: 60_000 });
    },
  };
  const working = (async () => {
    while (!state.over) await roundTrip();
  })();
  try {
    await Promise.race([attack(others), working.then(() => new Promise<void>(() => {}))]);
    state.over = true;
    await working;
    await roundTrip();
  } finally {
    state.over = true;
    clearInterval(watch);
    await working.catch(() => {});
  }
  expect(victim.lines.filter((line) => line.startsWith(`${name}:`))).toHaveLength(sent);
  expect(client.socket.readyState).toBe(WebSocket.OPEN);
  client.socket.close();
  await client.closed;
  return highest - before;
}

let goodClients = 0;
